package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// nobody is a user who owns nothing.
const nobody = 65534

// A program that may not read a piece, a marker or a directory, or not write to a store,
// says so and names it: what cannot be read is not missing, and nothing is taken for
// stored. Only root can be somebody else.
func TestSecurityOtherOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		evidence.Record(t, evidence.Entry{Layer: "security", What: "stores of other owners", Skipped: "only root can give files away"})
		t.Skip("only root can give files away")
	}
	tried, program := 0, openProgram(t)
	for name, c := range map[string]struct {
		closed string // what has mode 000
		verify string // what verify says of it
	}{
		"a piece":       {"final", "unreadable"},
		"a shard":       {"shard", "permission denied"},
		"the marker":    {"marker", "permission denied"},
		"a shard's one": {"shard marker", ""},
		"the root":      {"root", "permission denied"},
	} {
		s := newPeerScene(t)
		writeFile(t, s.path("ownership.yaml"), "epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\n")
		closed := filepath.Join(s.path("store"), s.places()[c.closed])
		if err := errorsOf(os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(s.dir, 0o777), os.Chmod(closed, 0)); err != nil {
			t.Fatal(err)
		}
		as := func(args ...string) (text string, code int) {
			cmd := exec.Command(program, args...)
			cmd.Env, cmd.Dir = append(os.Environ(), asProgram+"=1"), s.dir
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			stop := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			defer stop.Stop()
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			return string(out), cmd.ProcessState.ExitCode()
		}
		text, code := as("verify", "--store", s.path("store"), "--catalog", s.path("snapshots/"+s.snapshot), "--ownership", s.path("ownership.yaml"))
		if c.verify != "" && (code == 0 || code < 0 || !strings.Contains(text, c.verify)) {
			t.Errorf("%s: verify: exit code %d: %s", name, code, text)
		}
		text, code = as("store", "import", "--from", s.path("files"), "--store", s.path("store"), "--out", s.path("new.rsnap"), "--total-shards", "4")
		if code <= 0 || !strings.Contains(text, "permission denied") {
			t.Errorf("%s: import: exit code %d: %s", name, code, text)
		}
		if _, err := os.Lstat(s.path("new.rsnap")); err == nil {
			t.Errorf("%s: a catalog was made", name)
		}
		tried += 2
		if err := os.Chmod(closed, 0o755); err != nil { // so that it can be removed
			t.Error(err)
		}
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "stores of other owners, used by somebody else", Tried: uint64(tried), Unit: "processes", Violations: failed(t)})
}

// openProgram returns a copy of this program that everybody may run.
func openProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	path := filepath.Join(dir, "recoverd")
	if err = errorsOf(err, os.WriteFile(path, data, 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

package evidence

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	collect = flag.String("collect", "", "run all proofs and write the page there (make evidence)")
	only    = flag.String("only", "", "with -collect: only the commands that hold this text")
)

const moduleRoot = "../../.."

// stepLimit bounds one command; all together take less than 30 minutes on 2 cores.
const stepLimit = 15 * time.Minute

// commands is the quick form of every proof, in the order of the page.
func commands() []string {
	return strings.Split(strings.TrimSpace(`
make sim SEEDS=20000 SEED=1
make planted
make model
make crash-states
make crash KILLS=500
make power CUTS=20
make faults FAULTS=full
make corruption CORRUPTIONS=3000 ROTTEN=1000
make security
go test ./checkpoint/... ./recovery/... ./shards/... ./syncer/... -count=1
make properties CHECKS=20000
make fuzz FUZZTIME=2s
make race RACE='./checkpoint/... ./recovery/... ./shards/... ./syncer/...'
`), "\n")
}

// TestCollect runs every proof, writes the page, and fails if anything was found or
// failed. It goes on after a failure: the page tells all of it.
func TestCollect(t *testing.T) {
	if *collect == "" {
		t.Skip("runs for half an hour: make evidence")
	}
	entries := filepath.Join(t.TempDir(), "entries")
	page := Page{Commit: commit(t), At: time.Now(), Machine: machine()}
	for _, command := range commands() {
		if strings.Contains(command, *only) {
			page.Steps = append(page.Steps, run(t, command, entries))
		}
	}
	data, err := os.ReadFile(entries)
	if err != nil {
		t.Fatal(err)
	}
	if page.Entries, err = readEntries(data); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := errors.Join(page.Write(&out), os.WriteFile(filepath.Join(moduleRoot, *collect), out.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s\n%d violations, %d entries, %d skips: %s\n", out.String(), page.Violations(), len(page.Entries), len(page.Skips()), *collect)
	if n := page.Violations(); n > 0 {
		t.Errorf("%d violations", n)
	}
}

// run runs one command in the repository's root and shows what it says.
func run(t *testing.T, command, entries string) Step {
	ctx, cancel := context.WithTimeout(t.Context(), stepLimit)
	defer cancel()
	fmt.Printf("\n=== %s\n", command)
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), fileVar+"="+entries)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	began := time.Now()
	err := cmd.Run()
	step := Step{Command: command, Took: time.Since(began)}
	switch {
	case ctx.Err() != nil:
		step.Err = fmt.Sprintf("not done after %v", stepLimit)
	case err != nil:
		step.Err = err.Error()
	}
	return step
}

func commit(t *testing.T) string {
	t.Helper()
	head, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil || len(changes) > 0 {
		name += "+changes"
	}
	return name
}

func machine() string {
	var name syscall.Utsname
	release := "unknown"
	if err := syscall.Uname(&name); err == nil {
		var b strings.Builder
		for _, c := range name.Release {
			if c == 0 {
				break
			}
			b.WriteByte(byte(c))
		}
		release = b.String()
	}
	return fmt.Sprintf("%d cores, Linux %s, %s", runtime.NumCPU(), release, runtime.Version())
}

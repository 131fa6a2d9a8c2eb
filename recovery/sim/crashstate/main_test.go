package crashstate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var (
	seed = flag.Uint64("crash-seed", 1, "draws the states of moments that have too many")
	few  = flag.Bool("crash-few", true, "a tenth of the states, for the hermetic tests; make crash-states tries all")
)

// asSubject makes the test binary be a process that is recorded: "NAME ROOT NOTES".
const asSubject = "RECOVERD_TEST_CRASHSTATE"

// subject is what is recorded. It works below root, and ends with an error that only a
// bug of the test can cause.
type subject func(root string, n *notes) error

func subjects() map[string]subject {
	all := map[string]subject{
		"checkpoint":     saveAll,
		"archive":        func(root string, n *notes) error { return createAll(root, n, false) },
		"archive-killed": func(root string, n *notes) error { return createAll(root, n, true) },
	}
	for _, m := range modes() {
		all["store-"+m.String()] = func(root string, n *notes) error { return syncAll(root, n, m) }
		all["killed-"+m.String()] = func(root string, _ *notes) error { return publishAndDie(root, m) }
	}
	return all
}

func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv(asSubject))
	if len(words) != 3 {
		flag.Parse()
		os.Exit(m.Run())
	}
	f, err := os.OpenFile(words[2], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		err = subjects()[words[0]](words[1], &notes{f})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// notes are what a subject says of itself, in the order of its operations.
type notes struct{ to *os.File }

func (n *notes) put(format string, args ...any) error {
	_, err := fmt.Fprintf(n.to, format+"\n", args...)
	return err
}

// scratch is a directory in memory where there is room for it, else the test's own.
func scratch(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "recoverd-crashstate-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// recorded runs subjects one after the other on one disk.
func recorded(t *testing.T, names ...string) History {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch(t)
	r := &Recorder{Root: filepath.Join(dir, "root"), Notes: filepath.Join(dir, "notes"), Dir: dir}
	if err := os.Mkdir(r.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, name := range names {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", asSubject, name, r.Root, r.Notes))
		err := r.Run(ctx, cmd)
		if errors.Is(err, ErrNoRecorder) && os.Getenv("RECOVERD_REQUIRE_SERVERS") != "1" {
			skip(t, strings.Join(names, ", then "), err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r.History()
}

// skip ends a test that cannot be had here.
func skip(t *testing.T, what, why string) {
	t.Helper()
	evidence.Record(t, evidence.Entry{Layer: "crash states", What: what, Unit: "states", Skipped: why})
	t.Skip(why)
}

// explore tries the states of a history, wants at least as many as that, and says so.
func explore(t *testing.T, what string, h History, o Options, least int, check Check) {
	t.Helper()
	o.Seed = *seed
	if *few {
		o.Exhaustive, o.Samples, least = 16, 3, least/10
	}
	r, err := Explore(t.Context(), h, scratch(t), o, check)
	violations := uint64(0)
	if err != nil {
		violations = 1
		t.Error(err)
	} else if r.States < least {
		t.Errorf("only %v", r)
	}
	evidence.Record(t, evidence.Entry{
		Layer: "crash states", What: what, Tried: uint64(r.States), Unit: "states", Violations: violations, Detail: r.String(),
	})
}

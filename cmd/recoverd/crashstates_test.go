package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/sim/crashstate"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

var (
	crashStates = flag.Int("crash-states", 2, "samples of each moment in TestCrashStates")
	crashRuns   = flag.Int("crash-runs", 3, "states of TestCrashStates that a new process completes")
)

// TestCrashStates records what a whole recovery asks of the file system, the checkpoint
// and the store together, and lays out what a power cut at any moment may leave: no
// name has other bytes than its own, and all that is claimed is stored or listed. From
// some of the states a new process completes.
//
// Hazards 14 and 76: the cursor reaches the disk after the bytes.
func TestCrashStates(t *testing.T) {
	for _, durability := range []string{"syncfs", "fdatasync"} {
		t.Run(durability, func(t *testing.T) {
			f := newFleet(t, 60, 600)
			h := f.recorded(durability)
			rows := f.rows()
			var states, runs atomic.Int64
			every := int64(1)
			if *crashRuns > 0 {
				every = max(1, 400/int64(*crashRuns))
			}
			r, err := crashstate.Explore(t.Context(), h, f.memory(), crashstate.Options{Seed: 1, Exhaustive: 4 * *crashStates, Samples: *crashStates},
				func(dir string, _ []string) error {
					if err := claimHolds(dir, rows); err != nil || states.Add(1)%every != 0 || int(runs.Add(1)) > *crashRuns {
						return err
					}
					return f.completes(dir)
				})
			tried := evidence.Entry{
				Layer: "crash states", What: "a whole recovery, " + durability, Tried: uint64(r.States), Unit: "states",
				Detail: fmt.Sprintf("%v; from %d of them a new process completed", r, min(int(runs.Load()), *crashRuns)),
			}
			if err != nil {
				tried.Violations = 1
			}
			if err != nil {
				t.Error(err)
			}
			if r.States > 0 {
				evidence.Record(t, tried)
			}
		})
	}
}

// recorded runs a recovery on a disk of its own, and returns its operations.
func (f *fleet) recorded(durability string) crashstate.History {
	f.t.Helper()
	root := f.path("disk")
	if err := os.Mkdir(root, 0o755); err != nil {
		f.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(self, f.onDisk("disk", durability)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	r := crashstate.Recorder{Root: root, Notes: f.path("notes"), Dir: f.dir}
	err = r.Run(ctx, cmd)
	if errors.Is(err, crashstate.ErrNoRecorder) {
		evidence.Record(f.t, evidence.Entry{Layer: "crash states", What: "a whole recovery, " + durability, Unit: "states", Skipped: err.Error()})
		lack(f.t, err.Error())
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return r.History()
}

// onDisk are the arguments of a recovery with state and store below a directory.
func (f *fleet) onDisk(dir, durability string) []string {
	args := f.run("--concurrency", "4", "--group-blobs", "10", "--exit-when-complete", "--durability", durability)
	return replaced(args, map[string]string{"state": dir + "/state", "node": dir + "/node"}, f)
}

// memory is a directory for many small states.
func (f *fleet) memory() string {
	dir, err := os.MkdirTemp("/dev/shm", "recoverd-crashstate-")
	if err != nil {
		return f.t.TempDir()
	}
	f.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// rows is the catalog.
func (f *fleet) rows() (rows []recovery.Row) {
	f.t.Helper()
	source, err := catalog.NewFile(catalog.FileConfig{Path: f.catalog})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Pin(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	for row, err := range catalog.Rows(f.t.Context(), source, recovery.Mark{}) {
		if err != nil {
			f.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// claimHolds holds what is claimed, by all copies and by the mirror alone, against what
// is stored.
func claimHolds(dir string, rows []recovery.Row) error {
	state := filepath.Join(dir, "state")
	if _, err := os.Stat(state); errors.Is(err, os.ErrNotExist) {
		return nil // nothing is claimed
	}
	whole, err := checkpoint.Describe(state)
	if err != nil {
		return err
	}
	mirror, _, err := checkpoint.ReadMirror(state)
	if err != nil {
		return err
	}
	for _, p := range []*recovery.Progress{whole.Record.Progress, mirror.Progress} {
		if p == nil {
			continue
		}
		listed := map[recovery.BlobID]bool{}
		for _, u := range p.Unsettled {
			listed[u.ID] = true
		}
		for _, row := range rows {
			home := shards.Home(row.ID, totalShards)
			if !p.Scan.Covers(row.ID) || listed[row.ID] || !p.Fence.Owned.Contains(home) || row.Gained > p.Bound.Position {
				continue
			}
			name := shards.SetOf(home).String() + "/" + row.ID.String()
			data, err := os.ReadFile(filepath.Join(dir, "node", name))
			if err != nil || int64(len(data)) != row.Size {
				return fmt.Errorf("%s is claimed, by a cursor at %v and a scan position at %v, and %d of its %d bytes are stored: %w",
					name, p.Cursor, p.Scan, len(data), row.Size, err)
			}
		}
	}
	return wrongBytes(filepath.Join(dir, "node"))
}

// wrongBytes reports a name in a store that is not the digest of its bytes.
func wrongBytes(store string) error {
	if _, err := os.Stat(store); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var c complaints
	pieces(&c, store)
	return errors.Join(c.said...)
}

// complaints is the part of a test that checks use beside it.
type complaints struct {
	testing.TB
	said []error
}

func (c *complaints) Helper() {}

func (c *complaints) Errorf(format string, args ...any) {
	c.said = append(c.said, fmt.Errorf(format, args...))
}

func (c *complaints) Fatal(args ...any) { c.said = append(c.said, errors.New(fmt.Sprint(args...))) }

// completes lets a new process go on from a state.
func (f *fleet) completes(dir string) error {
	args := f.onDisk("disk", "auto")
	for i, a := range args {
		if rel, err := filepath.Rel(f.path("disk"), a); err == nil && filepath.IsLocal(rel) {
			args[i] = filepath.Join(dir, rel)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("a new process: %w: %s", err, out)
	}
	var c complaints
	if want, got := pieces(&c, f.path("source")), pieces(&c, filepath.Join(dir, "node")); len(want) != len(got) {
		return fmt.Errorf("a new process stored %d pieces of %d", len(got), len(want))
	}
	return errors.Join(c.said...)
}

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// TestCrashPowerCut shuts a file system down under load, as a power cut would:
// what was not durable is gone. After each remount no file has the right name and
// wrong bytes, nothing that was claimed is missing (I1, I3, I5), and checkpoint.db,
// which is written first, is not behind its mirror. Every other life uses fdatasync: a
// syncfs for the blobs would flush the database as well, and hide that nothing else
// does.
//
// Hazards 14, 46, 76, 77: data-after-cursor, names without a directory fsync,
// name-before-data, skipped-from-page-cache.
func TestCrashPowerCut(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			if *cuts == 0 {
				t.Skip("run make power: this test cuts power only where -cuts says how often")
			}
			tried := evidence.Entry{Layer: "power", What: "power cuts of " + kind + " under load", Unit: "cuts"}
			if why := noPower(kind); why != "" {
				tried.Skipped = why
				evidence.Record(t, tried)
				lack(t, why)
			}
			stops := cutAgainAndAgain(t, kind)
			tried.Tried, tried.Detail = uint64(*cuts), fmt.Sprintf("%d ended by a fail stop", stops)
			if t.Failed() {
				tried.Violations = 1
			}
			evidence.Record(t, tried)
		})
	}
}

// noPower says why power cannot be cut here; empty: it can.
func noPower(kind string) string {
	if os.Getuid() != 0 {
		return "only root may mount a file system"
	}
	for _, program := range []string{"mkfs." + kind, "mount", "umount", "losetup", "xfs_io"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	if out, err := exec.Command("losetup", "--find").CombinedOutput(); err != nil {
		return "no loop device: " + string(out)
	}
	return ""
}

// cutAgainAndAgain recovers one store over all cuts, and returns how many of its lives
// ended by a fail stop.
func cutAgainAndAgain(t *testing.T, kind string) (failStops int) {
	f := newFleet(t, 500**cuts, 600)
	disk := newLoopDisk(t, kind, f.path("disk"))
	f.args = replaced(f.args, map[string]string{"state": "disk/state", "node": "disk/node"}, f)
	limits := []string{"--concurrency", "8", "--group-blobs", "50", "--exit-when-complete", "--durability"}
	for cut := range *cuts {
		f.source.newLife(150 + rand.IntN(350)) // fewer than 500, or the last life may be done before its cut
		p := start(t, f.run(append(limits, []string{"syncfs", "fdatasync"}[cut%2])...)...)
		time.Sleep(time.Duration(100+rand.IntN(1_600)) * time.Millisecond)
		if p.hasEnded() {
			t.Fatalf("it ended by itself before cut %d: %s", cut, p.stderr.String())
		}
		disk.cutPower()
		if f.endsBy(p, 1500*time.Millisecond) == exitHalted {
			failStops++
		}
		disk.remount()
		f.checkClaim("disk")
		f.checkCopies("disk/state")
		if t.Failed() {
			t.Fatalf("after cut %d", cut+1)
		}
	}
	f.source.newLife(-1)
	must(t, f.run(append(limits, "auto")...)...)
	want, got := pieces(t, f.path("source")), pieces(t, f.path("disk/node"))
	if len(want) != len(got) {
		t.Errorf("the node holds %d pieces at the end, the source %d", len(got), len(want))
	}
	return failStops
}

// checkCopies looks at the database and the mirror apart. What one of them holds is
// never damaged by a power cut, but for a torn slot; and within a run a save goes to
// the database before it goes to the mirror.
func (f *fleet) checkCopies(state string) {
	f.t.Helper()
	if _, err := os.Stat(f.path(state)); err != nil {
		return
	}
	for _, d := range saved(f.t, f.path(state)).Damage {
		if d.File == "checkpoint.db" {
			f.t.Errorf("the database: %s", d.Why)
		}
	}
	alone := f.t.TempDir()
	data, err := os.ReadFile(filepath.Join(f.path(state), "checkpoint.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(alone, "checkpoint.db"), data, 0o600)
	}
	mirror, _, mirrorErr := checkpoint.ReadMirror(f.path(state))
	switch {
	case mirrorErr != nil:
		f.t.Errorf("the mirror: %v", mirrorErr)
	case mirror.Progress == nil:
		return
	case err != nil:
		f.t.Errorf("the mirror holds run %d, and there is no database: %v", mirror.Progress.Run, err)
		return
	}
	db := saved(f.t, alone).Record.Progress
	if db == nil || db.Run == mirror.Progress.Run && db.SavedAt.Before(mirror.Progress.SavedAt) {
		f.t.Errorf("the database is behind the mirror, which is written after it:\n%s\n%s", toJSON(db), toJSON(mirror.Progress))
	}
}

// endsBy waits for the process to stop by itself, as a fail stop does, and kills
// it otherwise: one that only waits for a peer has not met the dead disk.
func (f *fleet) endsBy(p *process, d time.Duration) int {
	select {
	case <-p.ended:
	case <-time.After(d):
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// checkClaim holds what is stored against what is claimed durably.
func (f *fleet) checkClaim(disk string) {
	f.t.Helper()
	stored := map[string]bool{}
	if _, err := os.Stat(f.path(disk + "/node")); err == nil {
		stored = pieces(f.t, f.path(disk+"/node"))
	}
	if _, err := os.Stat(f.path(disk + "/state")); err != nil {
		return // not even the directory was durable: nothing is claimed
	}
	p := saved(f.t, f.path(disk+"/state")).Record.Progress
	if p == nil {
		return
	}
	listed := map[recovery.BlobID]bool{}
	for _, u := range p.Unsettled {
		listed[u.ID] = true
		if p.Cursor.Covers(u.ID) {
			f.t.Errorf("the cursor %v passes the unsettled %v", p.Cursor, u.ID)
		}
	}
	source, err := catalog.NewFile(catalog.FileConfig{Path: f.catalog})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Pin(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	claimed := 0
	for row, err := range catalog.Rows(f.t.Context(), source, recovery.Mark{}) {
		if err != nil {
			f.t.Fatal(err)
		}
		if !p.Scan.Covers(row.ID) || listed[row.ID] {
			continue
		}
		claimed++
		name := shards.SetOf(shards.Home(row.ID, totalShards)).String() + "/" + row.ID.String()
		if !stored[name] {
			f.t.Errorf("%s is claimed, by a cursor at %v and a scan position at %v, and is not stored", name, p.Cursor, p.Scan)
		}
	}
	f.t.Logf("claimed %d, listed %d, stored %d", claimed, len(listed), len(stored))
}

// loopDisk is a file system in a file, mounted.
type loopDisk struct {
	t     testing.TB
	image string
	mount string
}

func newLoopDisk(t testing.TB, kind, mount string) *loopDisk {
	t.Helper()
	d := &loopDisk{t: t, image: mount + ".img", mount: mount}
	d.run("truncate", "-s", "512M", d.image)
	d.run("mkfs."+kind, "-q", map[string]string{"ext4": "-F", "xfs": "-f"}[kind], d.image)
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	d.run("mount", "-o", "loop", d.image, mount)
	t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
	return d
}

func (d *loopDisk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// cutPower stops the file system without letting it write anything more.
func (d *loopDisk) cutPower() { d.run("xfs_io", "-x", "-c", "shutdown", d.mount) }

func (d *loopDisk) remount() {
	d.t.Helper()
	until(d.t, "the dead file system is unmounted", func() bool { return exec.Command("umount", d.mount).Run() == nil })
	d.run("mount", "-o", "loop", d.image, d.mount)
	if left, _ := filepath.Glob(d.mount + "/lost+found/*"); len(left) > 0 {
		d.t.Errorf("lost+found: %v", left)
	}
}

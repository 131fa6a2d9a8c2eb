package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/shards"
)

// TestCrashPowerCut shuts a file system down under load, as a power cut would:
// what was not durable is gone. After each remount no file has the right name and
// wrong bytes, and nothing that was claimed is missing (I1, I3, I5).
//
// Hazards 14, 46, 76, 77: data-after-cursor, names without a directory fsync,
// name-before-data, skipped-from-page-cache.
func TestCrashPowerCut(t *testing.T) {
	if *cuts == 0 {
		t.Skip("run make crash: this test cuts power only where -cuts says how often")
	}
	if os.Getuid() != 0 {
		lack(t, "only root may mount a file system")
	}
	need(t, "mkfs.ext4", "mount", "umount", "xfs_io")
	f := newFleet(t, 600**cuts, 600)
	disk := newLoopDisk(t, f.path("disk"))
	f.args = replaced(f.args, map[string]string{"state": "disk/state", "node": "disk/node"}, f)
	limits := []string{"--concurrency", "8", "--group-blobs", "50", "--exit-when-complete"}
	failStops := 0
	for cut := range *cuts {
		f.source.newLife(200 + rand.IntN(600))
		p := start(t, f.run(limits...)...)
		time.Sleep(time.Duration(100+rand.IntN(2_200)) * time.Millisecond)
		if p.hasEnded() {
			t.Fatalf("it ended by itself before cut %d: %s", cut, p.stderr.String())
		}
		disk.cutPower()
		if f.endsBy(p, 3*time.Second) == exitHalted {
			failStops++
		}
		disk.remount()
		f.checkClaim("disk")
	}
	f.source.newLife(-1)
	must(t, f.run(limits...)...)
	if err := os.Symlink(f.path("disk/node"), f.path("node")); err != nil {
		t.Fatal(err)
	}
	want, got := pieces(t, f.path("source")), pieces(t, f.path("disk/node"))
	if len(want) != len(got) {
		t.Errorf("the node holds %d pieces at the end, the source %d", len(got), len(want))
	}
	t.Logf("%d power cuts, %d of them ended by a fail stop", *cuts, failStops)
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

// loopDisk is an ext4 in a file, mounted.
type loopDisk struct {
	t     testing.TB
	image string
	mount string
}

func newLoopDisk(t testing.TB, mount string) *loopDisk {
	t.Helper()
	d := &loopDisk{t: t, image: mount + ".img", mount: mount}
	d.run("truncate", "-s", "256M", d.image)
	d.run("mkfs.ext4", "-q", "-F", d.image)
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, mount).CombinedOutput(); err != nil {
		lack(t, "no loop mounts here: "+string(out))
	}
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

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// noMounts says why no file system can be mounted here; empty: it can.
func noMounts(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		return "only root may mount a file system"
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "none", dir).CombinedOutput(); err != nil {
		return "no mounts here: " + strings.TrimSpace(string(out))
	}
	if err := syscall.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	return ""
}

// fill leaves so much room on a file system, and returns what takes the rest.
func fill(t *testing.T, mount string, leave int64) (ballast string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(mount, &fs); err != nil {
		t.Fatal(err)
	}
	ballast = filepath.Join(mount, ".ballast")
	if err := os.WriteFile(ballast, make([]byte, max(0, int64(fs.Bavail)*fs.Bsize-leave)), 0o600); err != nil {
		t.Fatal(err)
	}
	return ballast
}

// TestFaultsFullDisks fills the file system of the store, or of the state directory, up to
// different heights: a full store is waited for, a full state directory ends the process,
// both say so, and with room again it completes.
//
// Hazards 44, 47 and 51.
func TestFaultsFullDisks(t *testing.T) {
	const what = "full file systems of the store and of the state (tmpfs)"
	all := everyFault(t)
	if why := noMounts(t); why != "" {
		notTried(t, what, why)
	}
	f := newFleet(t, 80, 600)
	rows := f.rows()
	leave := []int64{0, 4 << 10, 12 << 10, 32 << 10, 72 << 10, 150 << 10, 300 << 10, 500 << 10}
	if !all {
		leave = []int64{0, 12 << 10, 72 << 10, 300 << 10}
	}
	var tried, full atomic.Int64
	t.Run("each", func(t *testing.T) {
		for _, where := range []string{"node", "state"} {
			for _, room := range leave {
				t.Run(fmt.Sprintf("%s-%d", where, room), func(t *testing.T) {
					t.Parallel()
					tried.Add(1)
					tr := f.trial(t, fmt.Sprintf("%s-%d", where, room), rows)
					smallDisk(t, tr.path(where), "1m")
					ballast := fill(t, tr.path(where), room)
					want := waits
					if where == "state" {
						want = refuses
					}
					p := start(t, tr.once()...)
					tr.meant(p, want, "ENOSPC")
					p.kill()
					if strings.Contains(p.stderr.String()+toJSON(saved(t, tr.path("state")).Record), "no space left") {
						full.Add(1)
					}
					tr.claims()
					tr.must(os.Remove(ballast))
					tr.recovers()
				})
			}
		}
	})
	if full.Load() == 0 {
		t.Error("no disk was ever full")
	}
	proved(t, what, "fill levels", int(tried.Load()), "%d of them were too full to complete", full.Load())
}

// TestFaultsReadOnly lets ext4 find an error in the middle of the work, after which it is
// read-only. With it mounted anew the work goes on.
//
// Hazards 43 and 45.
func TestFaultsReadOnly(t *testing.T) {
	const what = "a file system turns read-only in the middle (ext4)"
	everyFault(t)
	if why := noMounts(t); why != "" {
		notTried(t, what, why)
	}
	need(t, "mkfs.ext4", "mount", "umount", "fsck.ext4")
	f := newFleet(t, 80, 600)
	rows := f.rows()
	tried := 0
	for _, where := range []string{"node", "state"} {
		tried++
		tr := f.trial(t, where, rows)
		disk := newLoopDisk(t, "ext4", tr.path(where))
		disk.run("mount", "-o", "remount,errors=remount-ro", disk.mount)
		tr.source.newLife(40)
		p := start(t, tr.once()...)
		tr.hangs(trialFlight)
		disk.turnReadOnly()
		tr.source.letGo()
		tr.readOnly(p, where)
		p.kill()
		until(t, "it is unmounted", func() bool { return exec.Command("umount", disk.mount).Run() == nil })
		_ = exec.Command("fsck.ext4", "-fy", disk.image).Run() // it tells that it mended the error
		disk.run("mount", "-o", "loop", disk.image, disk.mount)
		tr.claims()
		tr.recovers()
	}
	proved(t, what, "runs", tried, "the store's, and the state directory's")
}

// turnReadOnly makes the file system meet an error.
func (d *loopDisk) turnReadOnly() {
	d.t.Helper()
	out, err := exec.Command("findmnt", "-no", "SOURCE", d.mount).Output()
	if err != nil {
		d.t.Fatal(err)
	}
	trigger := "/sys/fs/ext4/" + filepath.Base(strings.TrimSpace(string(out))) + "/trigger_fs_error"
	if err := os.WriteFile(trigger, []byte("planted"), 0o200); err != nil {
		d.t.Fatal(err)
	}
}

// readOnly waits for a process to say that it cannot write, or to halt for it.
func (tr *trial) readOnly(p *process, where string) {
	tr.t.Helper()
	said := func(text string) bool {
		return strings.Contains(text, "read-only file system") || strings.Contains(text, "input/output error")
	}
	until(tr.t, "it says that the disk is read-only", func() bool {
		doc, ok := status(tr.t, tr.path("state"))
		return p.hasEnded() || ok && where == "node" && said(toJSON(doc)+toJSON(saved(tr.t, tr.path("state")).Record))
	})
	if p.hasEnded() && (p.wait() != exitHalted || !said(p.stderr.String())) {
		tr.t.Errorf("with a read-only %s it ended with %d: %s", where, p.wait(), p.stderr.String())
	}
}

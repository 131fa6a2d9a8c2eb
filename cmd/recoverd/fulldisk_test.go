package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// smallDisk mounts a file system of a size in a new directory.
func smallDisk(t testing.TB, dir, size string) {
	t.Helper()
	if os.Getuid() != 0 {
		lack(t, "only root may mount a file system")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "none", dir).CombinedOutput(); err != nil {
		lack(t, "no mounts here: "+string(out))
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// A full store is an ordinary Cancelled: nothing is lost, the message says so,
// and it goes on when there is room. Hazard 51.
func TestCrashFullStore(t *testing.T) {
	f := newFleet(t, 600, 8_192)
	smallDisk(t, f.path("node"), "1m")
	start(t, f.run("--concurrency", "4")...)
	until(t, "it says that the disk is full", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Unsettled.Retrying > 0 && strings.Contains(toJSON(saved(t, f.path("state")).Record), "no space left")
	})
	if out, err := exec.Command("mount", "-o", "remount,size=64m", f.path("node")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "it is complete", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String()
	})
	f.sameStore()
}

// A full state directory is a failed checkpoint: fail stop, and with room again
// the next start goes on. Hazard 51.
func TestCrashFullState(t *testing.T) {
	f := newFleet(t, 600, 600)
	smallDisk(t, f.path("state"), "1m")
	if err := os.WriteFile(f.path("state/ballast"), make([]byte, 984<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := invoke(t, f.run("--exit-when-complete")...)
	if code != exitHalted || !strings.Contains(stderr, "no space left") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if err := os.Remove(f.path("state/ballast")); err != nil {
		t.Fatal(err)
	}
	must(t, f.run("--exit-when-complete")...)
	f.sameStore()
}

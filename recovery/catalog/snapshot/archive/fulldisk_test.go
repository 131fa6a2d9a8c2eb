package archive

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of 1 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no mounts here: %s", out)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// Hazard 51: a full disk at every possible write: clear error, nothing lost,
// goes on when there is room.
func TestFullDisk(t *testing.T) {
	const page = 4 << 10
	for _, chunk := range []int64{0, chunkMax} {
		disk := smallDisk(t)
		ballast := filepath.Join(disk, "ballast")
		if err := os.Mkdir(filepath.Join(disk, "archive"), 0o755); err != nil {
			t.Fatal(err)
		}
		a := newArchive(t, filepath.Join(disk, "archive"))
		create(t, a, state{position: 10}, 0)
		var fs syscall.Statfs_t
		if err := syscall.Statfs(disk, &fs); err != nil {
			t.Fatal(err)
		}
		failed := 0
		for room := int64(page); ; room += page {
			if err := os.WriteFile(ballast, make([]byte, int64(fs.Bavail)*fs.Bsize-room), 0o600); err != nil {
				t.Fatal(err)
			}
			e, err := a.CreateFull(t.Context(), state{position: chunkBlobs}, CreateOptions{MaxChunk: chunk, Estimate: 1})
			if err == nil {
				verify(t, a, "full-10 "+names([]Entry{e}))
				break
			}
			failed++
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%d bytes of room: %v", room, err)
			}
			verify(t, a, "full-10")
			if files := inDir(t, a); len(files) != 1 {
				t.Fatalf("%d bytes of room: %q is left", room, files)
			}
			if v, err := a.Prune(t.Context(), Policy{}); err != nil || verdicts(v) != "+full-10" {
				t.Fatalf("%v, %v", verdicts(v), err)
			}
		}
		if failed < 50 {
			t.Errorf("it failed only %d times", failed)
		}
	}
}

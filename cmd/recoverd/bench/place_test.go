package bench

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// place gives each run somewhere fresh to write to.
type place interface {
	// name is what the table says.
	name() string
	// fresh returns an empty directory, and what ends its use.
	fresh(t testing.TB) (dir string, done func())
}

// newPlaces returns the file systems that are measured: as root an ext4 with a
// journal and one without, otherwise what is there.
func newPlaces(t testing.TB, dir string, bytes int64) []place {
	t.Helper()
	if os.Getuid() != 0 {
		return []place{newDirectories(t, filepath.Join(dir, "out"))}
	}
	image := filepath.Join(dir, "image")
	if err := writeZeros(image, bytes*5/4+1<<30); err != nil {
		t.Fatal(err)
	}
	return []place{
		&ext4{label: "ext4", image: image, mount: filepath.Join(dir, "mount")},
		&ext4{label: "ext4 without a journal", options: []string{"-O", "^has_journal"}, image: image, mount: filepath.Join(dir, "mount")},
	}
}

// ext4 is made anew for each run, on a loop device over one image. The image is
// written whole once, and never discarded: so the file system below it has nothing
// to allocate while somebody is measured. Direct I/O keeps the pages of the image from
// being cached twice.
type ext4 struct {
	label   string
	options []string
	image   string
	mount   string
}

func (e *ext4) name() string { return e.label }

func (e *ext4) fresh(t testing.TB) (string, func()) {
	t.Helper()
	// The tables are not zeroed by a thread of the kernel during the run.
	args := append([]string{"-q", "-F", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"}, e.options...)
	command(t, "mkfs.ext4", append(args, e.image)...)
	device := command(t, "losetup", "--find", "--show", "--direct-io=on", e.image)
	if err := os.MkdirAll(e.mount, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "noinit_itable", device, e.mount).CombinedOutput(); err != nil {
		_ = exec.Command("losetup", "--detach", device).Run()
		t.Skipf("no loop mounts here: %s", out)
	}
	done := sync.OnceFunc(func() {
		if unix.Unmount(e.mount, 0) != nil {
			_ = unix.Unmount(e.mount, unix.MNT_DETACH)
		}
		_ = exec.Command("losetup", "--detach", device).Run()
	})
	t.Cleanup(done)
	return e.mount, done
}

// directories are new ones on a file system that others use too.
type directories struct {
	root string
	n    int
}

func newDirectories(t testing.TB, root string) *directories {
	t.Helper()
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return &directories{root: root}
}

func (d *directories) name() string {
	return "a new directory (not as root: no file system of its own)"
}

func (d *directories) fresh(t testing.TB) (string, func()) {
	t.Helper()
	d.n++
	dir := filepath.Join(d.root, fmt.Sprint(d.n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, func() {}
}

func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func writeZeros(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, zeros{}, bytes); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// flushAll is what `sync -f` does.
func flushAll(dir string) error {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Syncfs(fd)
}

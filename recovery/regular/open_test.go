package regular

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is no regular file is refused at once, also behind a link. Where a pipe were
// opened, the test would wait until it is ended.
func TestSecurityNothingButRegularFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range []error{
		unix.Mkfifo(in("named pipe"), 0o600), os.Mkdir(in("directory"), 0o700), os.Symlink("/dev/zero", in("device")),
		os.Symlink("named pipe", in("link")), os.Symlink("loop", in("loop")), os.Symlink("nothing", in("dangling")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, says string
		is         error
	}{
		{"named pipe", "named pipe", ErrNot},
		{"directory", "directory", ErrNot},
		{"device", "device", ErrNot},
		{"socket", "socket", ErrNot},
		{"link", "named pipe", ErrNot},
		{"loop", "", unix.ELOOP},
		{"dangling", "", fs.ErrNotExist},
		{"none", "", fs.ErrNotExist},
	} {
		_, _, err := Open(in(tc.name))
		_, readErr := Read(in(tc.name), 10)
		for _, err := range []error{err, readErr} {
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), in(tc.name)) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v, want %v, the path and %q", tc.name, err, tc.is, tc.says)
			}
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		if data, err := Read(p, 10); err != nil || string(data) != "0123456789" {
			t.Errorf("%s: %q, %v", p, data, err)
		}
	}
	if data, err := Read(path, 9); !errors.Is(err, ErrTooLarge) || data != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%q, %v, want ErrTooLarge", data, err)
	}
	// A file that says that it is empty and goes on for long.
	if _, err := Read("/proc/kallsyms", 1000); !errors.Is(err, ErrTooLarge) && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of unknown size: %v", err)
	}
	f, info, err := Open(path)
	if err != nil || info.Size() != 10 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

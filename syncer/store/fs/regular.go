package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/syncer/store"
)

// openRegular opens a regular file for reading. os.Root would follow a symbolic
// link that stays inside, and opening a FIFO would block: so the name is looked
// at first, opened without blocking, and held against what was seen.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is a %s, %w", joined(root, name), kindOf(info), store.ErrIrregular)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := mustBeAt(root, name, f); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// mustBeAt reports an error unless name itself, not something it links to, is
// the open regular file f.
func mustBeAt(root *os.Root, name string, f *os.File) error {
	there, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !there.Mode().IsRegular() {
		return fmt.Errorf("%s is a %s, %w", joined(root, name), kindOf(there), store.ErrIrregular)
	}
	have, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(there, have) {
		return fmt.Errorf("%s was replaced while it was opened", joined(root, name))
	}
	return nil
}

func joined(root *os.Root, name string) string { return path.Join(root.Name(), name) }

// kindOf names a file's type for people.
func kindOf(info fs.FileInfo) string {
	switch m := info.Mode(); {
	case m.IsRegular():
		return "regular file"
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// retryEINTR repeats a call that a signal interrupted.
func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

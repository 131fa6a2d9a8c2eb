package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// fsys is how this package reads copies and changes the directory; only the lock
// file and bbolt's own file are used without it. Tests put faults between.
type fsys struct {
	mkdir   func(path string) error
	open    func(path string, flag int) (file, error)
	rename  func(from, to string) error
	remove  func(path string) error
	syncDir func(path string) error
	// commit runs one transaction of the database.
	commit func(db *bbolt.DB, fn func(*bbolt.Tx) error) error
}

// file is what is asked of an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
}

const (
	dirMode  = 0o700
	fileMode = 0o600
)

func osFS() fsys {
	return fsys{
		mkdir:   func(path string) error { return os.Mkdir(path, dirMode) },
		open:    func(path string, flag int) (file, error) { return os.OpenFile(path, flag, fileMode) },
		rename:  os.Rename,
		remove:  os.Remove,
		syncDir: syncDir,
		commit:  (*bbolt.DB).Update,
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes dir and its missing parents, and their names durable.
func (f fsys) makeDir(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := f.makeDir(parent); err != nil {
		return err
	}
	if err := f.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(parent)
}

// openRegular opens a file for reading. Errors are the operating system's; one
// that is not a regular file is an error too, never damage.
func (f fsys) openRegular(path string) (file, int64, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, 0, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	r, err := f.open(path, os.O_RDONLY)
	if err != nil {
		return nil, 0, err
	}
	info, err := r.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	return r, info.Size(), nil
}

// writeSynced writes data at the file's start and makes it durable.
func writeSynced(w file, data []byte) error {
	n, err := w.WriteAt(data, 0)
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := w.Sync(); err != nil {
		return fmt.Errorf("fsync: %w", err)
	}
	return nil
}

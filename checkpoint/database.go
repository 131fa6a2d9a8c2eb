package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	databaseName = "checkpoint.db"
	buildName    = databaseName + ".new"
	corruptName  = databaseName + ".corrupt-"
)

// database is checkpoint.db open for writing. It is never read through bbolt:
// scanPages does that.
type database struct {
	fs     fsys
	db     *bbolt.DB
	file   *os.File // bbolt's own
	broken bool     // bbolt panicked; its locks may be held for ever
}

// openDatabase opens a file that passed scanPages, or makes one at a path where
// there is none.
func openDatabase(fs fsys, path string, timeout time.Duration) (*database, error) {
	d := &database{fs: fs}
	err := d.guarded(func() (err error) {
		d.db, err = bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout:  timeout,
			PageSize: pageSize,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, perm)
				d.file = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		return d, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another program has %s open", ErrLocked, path)
	case d.broken:
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), d.close())
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

// put writes both values in one transaction (I4), the head behind the number of
// that transaction. After an error it may have happened or not (hazard 48).
func (d *database) put(img image) error {
	err := d.guarded(func() error {
		return d.fs.commit(d.db, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketName)
			if err != nil {
				return err
			}
			head := binary.BigEndian.AppendUint64(nil, uint64(tx.ID()))
			return errors.Join(b.Put(headKey, append(head, img.head...)), b.Put(listKey, img.list))
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", databaseName, err)
	}
	return nil
}

// guarded turns a panic of bbolt, and a fault in the memory it maps (a disk that
// can't be read any more, a file cut by someone else), into an error.
func (d *database) guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			d.broken = true
			err = fmt.Errorf("bbolt panicked: %v", p)
		}
	}()
	return fn()
}

// close gives the file back. A broken bbolt can't be closed, for it may wait for
// its own locks: only the file is, which releases it to others.
func (d *database) close() error {
	if d == nil {
		return nil
	}
	if d.broken {
		return d.file.Close()
	}
	return d.db.Close()
}

// createDatabase makes checkpoint.db with a first record in it: it is built under
// another name, made durable, and renamed, so that a database under its name
// is always whole (hazard 46).
func createDatabase(fs fsys, dir string, img image) error {
	build := filepath.Join(dir, buildName)
	if err := removeIfThere(fs, build); err != nil {
		return err
	}
	d, err := openDatabase(fs, build, time.Second)
	if err != nil {
		return err
	}
	if err := errors.Join(d.put(img), d.close()); err != nil {
		return err
	}
	if err := syncFile(fs, build); err != nil {
		return err
	}
	if err := fs.rename(build, filepath.Join(dir, databaseName)); err != nil {
		return err
	}
	return fs.syncDir(dir)
}

// syncFile makes a closed file durable.
func syncFile(fs fsys, path string) error {
	f, err := fs.open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeIfThere(fsys fsys, path string) error {
	if err := fsys.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// setAside renames a damaged database to a name that tells when, and that no
// earlier one has. It returns the new path. The caller holds the lock.
func setAside(fsys fsys, dir string, now time.Time) (string, error) {
	base := filepath.Join(dir, corruptName+now.UTC().Format("20060102T150405Z"))
	const maxSameSecond = 1_000
	for n := 1; n <= maxSameSecond; n++ {
		path := base
		if n > 1 {
			path = fmt.Sprintf("%s-%d", base, n)
		}
		switch _, err := os.Lstat(path); {
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if err := fsys.rename(filepath.Join(dir, databaseName), path); err != nil {
			return "", err
		}
		return path, fsys.syncDir(dir)
	}
	return "", fmt.Errorf("%d files begin with %s", maxSameSecond, base)
}

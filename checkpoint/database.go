package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery/boltfile"
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
	db, file, err := boltfile.Open(path, fileMode, timeout)
	if errors.Is(err, boltfile.ErrLocked) {
		err = fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	return &database{fs: fs, db: db, file: file}, nil
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

// guarded runs a use of bbolt, and remembers that it panicked.
func (d *database) guarded(fn func() error) error {
	err := boltfile.Guard(fn)
	d.broken = d.broken || errors.Is(err, boltfile.ErrPanicked)
	return err
}

// close gives the file back.
func (d *database) close() error {
	if d == nil {
		return nil
	}
	return boltfile.Close(d.db, d.file, d.broken)
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

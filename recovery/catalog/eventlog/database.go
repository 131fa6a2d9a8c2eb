package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

const (
	logName     = "log.db"
	buildName   = logName + ".new"
	corruptName = logName + ".corrupt-"
	pageSize    = 4096
)

// The buckets of log.db. Every one of them is always there. The first in order is
// the one that says what the others must be.
const (
	bucketMeta   = "about"  // one key: the meta
	bucketEvents = "events" // position (u64, big-endian) -> event in its binary form
	bucketPins   = "pins"   // position and digest of bounds that were handed out -> nothing
	// Of the delta: key -> record.
	bucketBlobs         = "blobs"
	bucketRegistrations = "registrations"
	bucketPooled        = "pooled"
	bucketPools         = "pools"
)

func metaKey() []byte { return []byte("meta") }

func bucketOf(t snapshot.Table) string {
	return [...]string{bucketBlobs, bucketRegistrations, bucketPooled, bucketPools}[t-1]
}

func bucketNames() []string {
	return []string{bucketMeta, bucketBlobs, bucketEvents, bucketPins, bucketPooled, bucketPools, bucketRegistrations}
}

// database is log.db, open. bbolt may panic or fault where its file is damaged
// or cannot be read: every use is guarded, and the first failed commit ends it
// (I12).
type database struct {
	path string
	db   *bbolt.DB
	file *os.File // bbolt's own
	// commit ends a transaction. Tests put faults here.
	commit func(*bbolt.Tx) error
}

// openDatabase opens a file that was examined, or makes an empty one.
func openDatabase(path string) (*database, error) {
	d := &database{path: path, commit: (*bbolt.Tx).Commit}
	err := guarded(func() (err error) {
		d.db, err = bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout: time.Second, PageSize: pageSize,
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
	case isPanic(err) && d.file != nil:
		err = errors.Join(err, d.file.Close())
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

// panicError is a panic of bbolt, or a fault in the memory that it maps. It may
// hold its own locks for ever.
type panicError struct{ what string }

func (e *panicError) Error() string { return "bbolt panicked: " + e.what }

func isPanic(err error) bool {
	var p *panicError
	return errors.As(err, &p)
}

// guarded turns panics and faults into errors.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{fmt.Sprint(p)}
		}
	}()
	return fn()
}

// update runs one write transaction. An error of fn changes nothing; one that
// wraps ErrFailed leaves open what is on disk (hazard 48).
func (d *database) update(fn func(*bbolt.Tx) error) error {
	committing := false
	err := guarded(func() error {
		tx, err := d.db.Begin(true)
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		committing = true
		return d.commit(tx)
	})
	if err != nil && (committing || isPanic(err)) {
		return fmt.Errorf("%w: %s: %w", ErrFailed, d.path, err)
	}
	return err
}

// view runs fn in a read transaction.
func (d *database) view(fn func(*bbolt.Tx) error) error {
	return guarded(func() error { return d.db.View(fn) })
}

// close gives the file back. After a panic bbolt cannot be closed, for it may
// wait for its own locks: only the file is, which releases it to others.
func (d *database) close(broken bool) error {
	switch {
	case d == nil:
		return nil
	case broken:
		return d.file.Close()
	}
	return guarded(d.db.Close)
}

// createDatabase makes log.db with what fill puts in, which is all that there
// is: it is built under another name, made durable, and renamed, so that a
// database under its name is always whole (hazard 46), and data and position
// appear together (hazard 59). The transactions of fill need not be durable.
func createDatabase(cfg *Config, fill func(*database) error) error {
	dir, build := cfg.Dir, filepath.Join(cfg.Dir, buildName)
	if err := os.Remove(build); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	d, err := openDatabase(build)
	if err != nil {
		return err
	}
	d.db.NoSync = true
	err = d.update(func(tx *bbolt.Tx) error {
		for _, name := range bucketNames() {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = fill(d)
	}
	if err == nil {
		err = d.db.Sync()
	}
	if err = errors.Join(err, d.close(isPanic(err))); err != nil {
		return err
	}
	cfg.between("log built")
	if err := os.Rename(build, filepath.Join(dir, logName)); err != nil {
		return err
	}
	cfg.between("log in place")
	return syncDir(dir)
}

// setAside renames a damaged log to a name that says when, and that no earlier
// one has, and returns the new path.
func setAside(dir string, now time.Time) (string, error) {
	base := filepath.Join(dir, corruptName+now.UTC().Format("20060102T150405Z"))
	const maxSameSecond = 1000
	for n := 1; n <= maxSameSecond; n++ {
		path := base
		if n > 1 {
			path = fmt.Sprintf("%s-%d", base, n)
		}
		switch _, err := os.Lstat(path); {
		case err == nil:
			continue
		case !errors.Is(err, os.ErrNotExist):
			return "", err
		}
		if err := os.Rename(filepath.Join(dir, logName), path); err != nil {
			return "", err
		}
		return path, syncDir(dir)
	}
	return "", fmt.Errorf("%d files begin with %s", maxSameSecond, base)
}

// buckets are the buckets of one transaction.
type buckets struct {
	meta, events, pins *bbolt.Bucket
	delta              [4]*bbolt.Bucket
}

func bucketsOf(tx *bbolt.Tx) (b buckets, err error) {
	get := func(name string) *bbolt.Bucket {
		bucket := tx.Bucket([]byte(name))
		if bucket == nil && err == nil {
			err = damaged("it has no bucket %q", name)
		}
		return bucket
	}
	b.meta, b.events, b.pins = get(bucketMeta), get(bucketEvents), get(bucketPins)
	for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
		b.delta[t-1] = get(bucketOf(t))
	}
	return b, err
}

func (b *buckets) readMeta() (meta, error) { return decodeMeta(b.meta.Get(metaKey())) }

func (b *buckets) writeMeta(m *meta) error { return b.meta.Put(metaKey(), m.encode()) }

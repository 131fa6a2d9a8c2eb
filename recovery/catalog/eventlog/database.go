package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

const (
	logName     = "log.db"
	buildName   = logName + ".new"
	corruptName = logName + ".corrupt-"
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
	db, file, err := boltfile.Open(path, fileMode, time.Second)
	if errors.Is(err, boltfile.ErrLocked) {
		err = fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	return &database{path: path, db: db, file: file, commit: (*bbolt.Tx).Commit}, nil
}

// update runs one write transaction. An error of fn changes nothing; one that
// wraps ErrFailed leaves open what is on disk (hazard 48).
func (d *database) update(fn func(*bbolt.Tx) error) error {
	committing := false
	err := boltfile.Guard(func() error {
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
	if err != nil && (committing || errors.Is(err, boltfile.ErrPanicked)) {
		return fmt.Errorf("%w: %s: %w", ErrFailed, d.path, err)
	}
	return err
}

// view runs fn in a read transaction.
func (d *database) view(fn func(*bbolt.Tx) error) error {
	return boltfile.Guard(func() error { return d.db.View(fn) })
}

// close gives the file back. After a panic bbolt cannot be closed, for it may
// wait for its own locks: only the file is, which releases it to others.
func (d *database) close(broken bool) error {
	if d == nil {
		return nil
	}
	return boltfile.Close(d.db, d.file, broken)
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
	if err = errors.Join(err, d.close(errors.Is(err, boltfile.ErrPanicked))); err != nil {
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

package eventlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// Log is the events that a directory holds, while nobody follows with it, as an
// event.Source that does not grow.
type Log struct {
	lock *os.File
	db   *database // nil: there is no log
	has  archive.Range
}

// OpenLog takes the directory's lock until Close and proves its log; without one
// there are no events. Errors wrap ErrLocked, ErrCreate or ErrVersion, are a
// *DamageError, or are those of reading.
func OpenLog(dir string, timeout time.Duration) (_ *Log, err error) {
	path := filepath.Join(dir, logName)
	lock, err := lockDir(dir, timeout)
	if err != nil {
		return nil, err
	}
	l := &Log{lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	f, err := examine(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if f.meta.First <= f.meta.Position {
		l.has = archive.Range{First: f.meta.First, Last: f.meta.Position}
	}
	l.db, err = openDatabase(path)
	return l, err
}

// Exists reports whether there is a log at all.
func (l *Log) Exists() bool { return l.db != nil }

// Range returns which events the log holds.
func (l *Log) Range() archive.Range { return l.has }

// Read implements event.Source.
func (l *Log) Read(ctx context.Context, after uint64, limit int) ([]event.Event, uint64, error) {
	switch {
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case l.has.Empty() || after >= l.has.Last:
		return nil, l.has.Last, nil
	case after+1 < l.has.First:
		return nil, 0, &event.MissingError{Source: l.db.path, First: after + 1, Found: l.has.First}
	}
	events, err := readEvents(l.db, after+1, min(uint64(limit), l.has.Last-after))
	return events, l.has.Last, err
}

// Changed implements event.Source: nothing comes while it is open.
func (l *Log) Changed(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// Close gives the directory back.
func (l *Log) Close() (err error) {
	if l.db != nil {
		err = l.db.close(false)
	}
	return errors.Join(err, l.lock.Close())
}

// Unseeded reports whether a Seed of the directory was killed before its end, and
// has to be run again.
func Unseeded(dir string) (bool, error) {
	m, err := readMarker(dir)
	return m != nil && m.From != "", err
}

var _ event.Source = (*Log)(nil)

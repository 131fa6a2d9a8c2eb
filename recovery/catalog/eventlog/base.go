package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// base is the open snapshot that the delta lies over, shared by all who read and
// closed when the last one lets go of it.
type base struct {
	*snapshot.Reader
	held  *archive.Held // nil: the empty state, which is in no file
	clean bool          // see meta.Clean
	scans scanCache
	refs  atomic.Int64
}

// newBase returns a base with one reference, the caller's.
func newBase(r *snapshot.Reader, held *archive.Held, clean bool) *base {
	b := &base{Reader: r, held: held, clean: clean}
	b.refs.Store(1)
	return b
}

// retain adds a reference. The caller holds one, or the lock under which the first
// is given up.
func (b *base) retain() *base {
	b.refs.Add(1)
	return b
}

// release gives a reference up. Closing files that were only read has nothing to
// lose.
func (b *base) release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	if b.held != nil {
		_ = b.held.Close()
		return
	}
	_ = b.Reader.Close()
}

// position is that of the base's state. What the delta says of it or before is
// redundant.
func (b *base) position() uint64 { return b.Header().Position }

// openBase opens the snapshot that a log names.
func openBase(ctx context.Context, a shelf, m *meta, dir string) (*base, error) {
	if m.Made {
		return emptyBase(dir, m.Network)
	}
	l, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range l.Entries {
		if e.Kind != snapshot.Full || e.Position != m.Base.Position || e.Digest != archive.ShortOf(m.Base.Digest) {
			continue
		}
		if e.Status != archive.Complete {
			if e.Status == archive.Incomplete {
				return nil, fmt.Errorf("open base %v: %w: %w", e.Name, errIncomplete, e.Err)
			}
			return nil, fmt.Errorf("open base %v: it is %s: %w", e.Name, e.Status, e.Err)
		}
		held, err := a.OpenEntry(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("open base: %w", err)
		}
		if held.Bound() != m.Base {
			return nil, errors.Join(fmt.Errorf("open base: %v holds %v, the log lies over %v", e.Name, held.Bound(), m.Base), held.Close())
		}
		return newBase(held.Reader, held, m.Clean), nil
	}
	return nil, fmt.Errorf("%w: the log lies over %v", errNoBase, m.Base)
}

var (
	errNoBase     = errors.New("eventlog: the base is not there")
	errIncomplete = errors.New("eventlog: the base is not whole")
)

// emptyBase makes the state of a network before its first event. Its file has no
// name once it is open.
func emptyBase(dir, network string) (*base, error) {
	r, err := unnamed(dir, snapshot.Header{Stamp: recovery.Stamp{Network: network}}, func(*snapshot.Writer) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("make the empty state: %w", err)
	}
	return newBase(r, nil, true), nil
}

// draftPattern names the directory of a file that is about to lose its name. The
// archive takes it for a leftover unless it is locked.
const draftPattern = ".eventlog-*.rsnap-tmp"

// unnamed writes a snapshot and opens it, and takes its name away: it is gone when
// it is closed, or when the process ends.
func unnamed(dir string, h snapshot.Header, fill func(*snapshot.Writer) error) (r *snapshot.Reader, err error) {
	draft, err := os.MkdirTemp(dir, draftPattern)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(draft)) }()
	lock, err := os.Open(draft)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock %s: %w", draft, err)
	}
	path := filepath.Join(draft, "state.rsnap")
	w, err := snapshot.Create(path, h)
	if err != nil {
		return nil, err
	}
	if err := fill(w); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return snapshot.Open(path)
}

// surveyBase reads a base once through: whether it is clean, and its sums.
func surveyBase(ctx context.Context, r *snapshot.Reader) (clean bool, s sums, err error) {
	at := r.Header().Stamp
	if s, err = countScan(ctx, r.Scan()); err != nil {
		return false, s, err
	}
	canonical := &filtered{head: r.Header(), raw: r.Cursors, by: newFilter(at, at.Position, r.Pools())}
	clean = true
	err = snapshot.Diff(ctx, r, canonical, func(snapshot.Change) error {
		clean = false
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return clean, s, err
}

var errStop = errors.New("eventlog: enough was seen")

// countScan adds up what is certified in a state.
func countScan(ctx context.Context, scan *snapshot.Scan) (s sums, err error) {
	for rows := make([]recovery.Row, 1024); ; {
		n, end, err := scan.Fill(ctx, rows)
		if err != nil {
			return s, err
		}
		for i := range rows[:n] {
			s.add(rows[i].Size)
		}
		if end {
			return s, nil
		}
	}
}

// known is the row of a base with the position that an unknown one stands for.
func known[R any](row *R, position uint64) R {
	known := *row
	switch r := any(&known).(type) {
	case *snapshot.Registration:
		r.Gained = event.Gained(r.Certified, r.Gained, position)
	case *snapshot.Pooled:
		r.Gained = event.Gained(r.Certified, r.Gained, position)
	case *snapshot.Pool:
		r.Gained = event.Gained(true, r.Gained, position)
	}
	return known
}

// scanCache keeps the base's cursors of pages that may be followed by another, so
// that the next one neither seeks nor reads a block twice.
type scanCache struct {
	mu   sync.Mutex
	idle []idleScan // least recently used first
}

type idleScan struct {
	cursors snapshot.Cursors
	at      recovery.Mark
}

// idleScans is how many readers may take turns without seeking; one holds up to
// 192 KiB.
const idleScans = 4

// take returns cursors of the base that stand near what follows a mark.
func (b *base) take(after recovery.Mark) snapshot.Cursors {
	c := &b.scans
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, idle := range c.idle {
		if idle.at == after {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			return idle.cursors
		}
	}
	return stickyCursors(b.Cursors())
}

func (b *base) put(cursors snapshot.Cursors, at recovery.Mark) {
	c := &b.scans
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == idleScans {
		c.idle = append(c.idle[:0], c.idle[1:]...)
	}
	c.idle = append(c.idle, idleScan{cursors, at})
}

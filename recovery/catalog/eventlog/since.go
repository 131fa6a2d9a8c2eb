package eventlog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// maxTouched is the most ids that PageSince keeps; where more were touched, a walk
// through all is as good. They take 32 bytes each.
const maxTouched = 1 << 18

// sinceEvents bounds the events, and sinceLooks the blobs, that one transaction of
// PageSince looks at.
const (
	sinceEvents = 16 << 10
	sinceLooks  = 1024
)

// PageSince implements catalog.Narrower: Page for a pass that has covered a bound (I7): it leaves out blobs
// that no event behind the bound has registered, certified or extended, by itself
// or by its pool. Where the log does not hold all of these events any more, or
// they touched more than 262,144 blobs, it is Page. It never leaves out a blob of
// which a live registration gained its certification behind the bound, up to the
// pinned position at least.
func (c *Catalog) PageSince(ctx context.Context, since recovery.Bound, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	if err := c.mayRead(ctx, rows); err != nil {
		return recovery.PageInfo{}, err
	}
	ids, all, err := c.touchedSince(ctx, since)
	if err != nil {
		return recovery.PageInfo{}, fmt.Errorf("find what was touched since position %d: %w", since.Position, err)
	}
	if all {
		return c.Page(ctx, after, rows)
	}
	rows = rows[:min(len(rows), maxPage)]
	rest := ids[sort.Search(len(ids), func(i int) bool { return !after.Covers(ids[i]) }):]
	for {
		var info recovery.PageInfo
		err := c.read(ctx, func(v *view) error {
			part := rest[:min(len(rest), sinceLooks, len(rows))]
			rest = rest[len(part):]
			found, err := v.find(ctx, part, rows[:0])
			info = recovery.PageInfo{Stamp: v.meta.Stamp, N: len(found), End: len(rest) == 0, Pass: uint64(max(1, len(ids)))}
			return err
		})
		if err != nil || info.N > 0 || info.End {
			return info, err
		}
	}
}

// touchedCache keeps what PageSince found out last: the pages of a pass all ask
// for the same.
type touchedCache struct {
	mu    sync.Mutex
	since recovery.Bound
	upTo  uint64
	ids   []recovery.BlobID // by rising id
	all   bool              // look at everything
}

// touchedSince returns the ids that events behind a bound touched, up to the
// pinned position at least; or all, where they cannot be told.
func (c *Catalog) touchedSince(ctx context.Context, since recovery.Bound) (ids []recovery.BlobID, all bool, err error) {
	t := &c.touched
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since == since && t.upTo >= c.board.pinnedAt() {
		return t.ids, t.all, nil
	}
	s := touchScan{c: c, at: since.Position, limit: maxTouched, ids: map[recovery.BlobID]struct{}{}, pools: map[snapshot.PoolID]struct{}{}}
	if all, err = s.run(ctx, since); err != nil {
		return nil, false, err
	}
	t.since, t.upTo, t.all, t.ids = since, s.at, all, nil
	if !all {
		t.ids = slices.SortedFunc(maps.Keys(s.ids), recovery.BlobID.Compare)
	}
	return t.ids, t.all, nil
}

// touchScan collects what events touched, in short transactions.
type touchScan struct {
	c     *Catalog
	at    uint64 // the last event looked at
	limit int    // of ids
	ids   map[recovery.BlobID]struct{}
	pools map[snapshot.PoolID]struct{}
}

func (s *touchScan) run(ctx context.Context, since recovery.Bound) (all bool, err error) {
	for done := false; !done; {
		err := s.c.read(ctx, func(v *view) (err error) {
			if all = v.meta.Network != since.Network || v.meta.First > since.Position+1 || v.meta.Position < since.Position; all {
				return nil
			}
			done, err = s.events(v)
			return err
		})
		if all || err != nil || len(s.ids) > s.limit {
			return true, err
		}
	}
	if len(s.pools) == 0 {
		return false, nil
	}
	if err := s.members(ctx); err != nil {
		return true, err
	}
	return len(s.ids) > s.limit, nil
}

// events looks at the next events in the log; done: there are no more.
func (s *touchScan) events(v *view) (done bool, err error) {
	for range sinceEvents {
		if s.at >= v.meta.Position {
			return true, nil
		}
		e, err := event.ParseBinary(v.b.events.Get(positionKey(s.at + 1)))
		if err != nil {
			return false, &DamageError{What: fmt.Sprintf("event %d", s.at+1), Err: err}
		}
		s.at++
		switch e.Kind {
		case event.Register, event.Certify, event.Extend:
			s.ids[e.Blob] = struct{}{}
		case event.PoolCreated, event.PoolExtended:
			s.pools[e.Pool] = struct{}{}
		}
	}
	return false, nil
}

// members adds the blobs that are registered in a pool that was touched: those in
// the base, which stands still, and those in the delta, a stretch at a time. What
// is registered while this runs is pinned later, and a superset does no harm.
func (s *touchScan) members(ctx context.Context) error {
	next := recovery.BlobID{}
	for more := true; more; {
		err := s.c.read(ctx, func(v *view) error {
			l := v.layers()
			over := l.over(v.base.Cursors(), l.inLog(&v.b)).Pooled
			if err := over.Seek(next); err != nil {
				return err
			}
			for looked := 0; ; looked++ {
				p, err := over.Next()
				if more = p != nil; !more || err != nil {
					return err
				}
				if looked >= sinceEvents && p.Key.Blob() != next {
					next = p.Key.Blob() // not looked at yet
					return nil
				}
				if next = p.Key.Blob(); s.touches(p) {
					s.ids[next] = struct{}{}
				}
			}
		})
		if err != nil || len(s.ids) > s.limit {
			return err
		}
	}
	return nil
}

func (s *touchScan) touches(p *snapshot.Pooled) bool {
	_, touched := s.pools[p.Pool]
	return touched
}

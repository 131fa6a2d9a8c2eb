package worker

import (
	"context"
	"errors"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// countShards counts the certified blobs by shard whenever the map asks for it: a
// walk through the pinned catalog beside the scan's, which takes at most half of a
// processor and reads nothing of the store.
func (w *Worker) countShards(ctx context.Context) {
	for {
		var v recovery.ShardView
		select {
		case v = <-w.shards.asked:
		case <-ctx.Done():
			return
		}
		count, err := w.countFor(ctx, v)
		if ctx.Err() != nil {
			return
		}
		w.shards.counted(count, err)
	}
}

// counted takes a count that has ended. What was asked for meanwhile is of no use
// any more if this one is.
func (s *shardMap) counted(c *shardCount, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.failed = time.Now(), err != nil
	if err == nil {
		s.count = c
	}
	select {
	case <-s.asked:
	default:
	}
}

// errMoved ends a count whose catalog has moved on.
var errMoved = errors.New("worker: the catalog has moved")

const (
	countRows  = 1_024
	countPages = 16                    // between two pauses
	countPause = 50 * time.Millisecond // the longest of them
)

func (w *Worker) countFor(ctx context.Context, v recovery.ShardView) (*shardCount, error) {
	n := len(v.Looked)
	c := &shardCount{view: v, total: make([]uint64, n), covered: make([]uint64, n), below: make([]uint64, n)}
	rows := make([]recovery.Row, countRows)
	began := time.Now()
	for after, pages := (recovery.Mark{}), 1; ; pages++ {
		info, err := w.cfg.Catalog.Page(ctx, after, rows)
		switch {
		case err != nil:
			return nil, err
		case info.Stamp != v.Catalog.Stamp:
			return nil, errMoved
		}
		for i := range rows[:info.N] {
			c.add(&rows[i])
		}
		if info.End || info.N == 0 {
			return c, nil
		}
		after = recovery.MarkAt(rows[info.N-1].ID)
		if pages%countPages == 0 {
			pause(ctx, min(time.Since(began), countPause))
			began = time.Now()
		}
	}
}

// add counts one certified blob.
func (c *shardCount) add(row *recovery.Row) {
	v, at := &c.view, uint32(0)
	if v.Placement != shards.Striped {
		if at = shards.Home(row.ID, v.Covers.Total); !v.Covers.Owned.Contains(at) {
			return
		}
	}
	c.total[at]++
	switch {
	case v.Covered != nil && row.Within(*v.Covered):
		c.covered[at]++
	case v.From.Covers(row.ID) && row.Within(v.Bound):
		c.below[at]++
	}
}

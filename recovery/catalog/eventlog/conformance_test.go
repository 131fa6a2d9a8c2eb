package eventlog

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// TestConformance runs the contract of a source over a catalog whose base is the
// first state and whose delta leads to the newest one, at once: no chain of events
// makes the states of the suite.
func TestConformance(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T, first catalogtest.State) catalogtest.Subject {
		dir := tempDir(t)
		path := filepath.Join(dir, "first.rsnap")
		catalogtest.WriteSnapshot(t, path, first)
		cfg := quiet(filepath.Join(dir, "catalog"))
		cfg.Network = ""
		if _, err := Seed(t.Context(), cfg, path); err != nil {
			t.Fatal(err)
		}
		c := open(t, cfg)
		return catalogtest.Subject{
			Source: c, Live: true,
			Publish: func(t testing.TB, s catalogtest.State) {
				if err := publish(t, c, dir, s); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

// publish makes a state's difference from the base the whole delta, in one
// transaction.
func publish(t testing.TB, c *Catalog, dir string, s catalogtest.State) error {
	path := filepath.Join(dir, "next.rsnap")
	catalogtest.WriteSnapshot(t, path, s)
	next, err := snapshot.Open(path)
	if err != nil {
		return err
	}
	defer next.Close()
	if _, err := snapshot.WriteIncremental(context.Background(), path+".incr", c.base.Reader, next, snapshot.Options{}); err != nil {
		return err
	}
	incr, err := snapshot.Open(path + ".incr")
	if err != nil {
		return err
	}
	defer incr.Close()
	return c.update(func(b *buckets, m *meta) error {
		for _, bucket := range b.delta {
			for key := firstKey(bucket); key != nil; key = firstKey(bucket) {
				if err := bucket.Delete(key); err != nil {
					return err
				}
			}
		}
		m.Stamp, m.First, m.Delta, m.PoolRows = s.Stamp, s.Position+1, 0, 0
		at := incr.Bound()
		m.Chain = nextChain(m.Chain, at.Digest[:])
		m.Before = m.Chain
		w := newWork(b, m, c.base, map[snapshot.PoolID]uint64{})
		w.now = s.Position
		if err := putAll(w, incr.BlobDeltas()); err != nil {
			return err
		}
		if err := putAll(w, incr.RegistrationDeltas()); err != nil {
			return err
		}
		m.Sums, err = w.count(context.Background())
		return err
	})
}

func putAll[R any, P snapshot.Row[R]](w *work, from snapshot.DeltaCursor[R]) error {
	for {
		row, dropped, err := from.Next()
		if row == nil || err != nil {
			return err
		}
		if _, err := store[R, P](w, &record[R]{row: *row, dropped: dropped}); err != nil {
			return err
		}
	}
}

// TestPagesAreOfOneStateEach: while events come, each page is of the state that it
// is stamped with, and none is of one before the pinned.
func TestPagesAreOfOneStateEach(t *testing.T) {
	seed, total := uint64(5), 400
	c := open(t, quiet(filepath.Join(tempDir(t), "catalog")))
	events := historyEvents(seed, total)
	apply(t, c, events[:100])
	done := make(chan error, 1)
	go func() {
		for at := 100; at < total; at += 5 {
			if err := c.Apply(context.Background(), events[at:at+5], 0); err != nil {
				done <- err
				return
			}
			if at%60 == 0 {
				if _, err := c.Snapshot(context.Background(), snapshot.Full); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	for more := true; more; {
		select {
		case err := <-done:
			must(t, err)
			more = false
		default:
		}
		tip, err := c.Pin(t.Context())
		must(t, err)
		rows := make([]recovery.Row, 9)
		for after, end := (recovery.Mark{}), false; !end; {
			info, err := c.Page(t.Context(), after, rows)
			must(t, err)
			if !info.Stamp.Reaches(tip.Bound) {
				t.Fatalf("a page of %+v, after %+v was pinned", info.Stamp, tip.Stamp)
			}
			want := rowsAfter(modelAt(seed, info.Stamp.Position).Certified(), after)
			wantPage(t, want, rows[:info.N], info.End)
			if end = info.End; info.N > 0 {
				after = recovery.MarkAt(rows[info.N-1].ID)
			}
		}
	}
}

func rowsAfter(rows []recovery.Row, after recovery.Mark) (rest []recovery.Row) {
	for _, row := range rows {
		if !after.Covers(row.ID) {
			rest = append(rest, row)
		}
	}
	return rest
}

func wantPage(t *testing.T, rest, got []recovery.Row, end bool) {
	t.Helper()
	if len(got) > len(rest) || end != (len(got) == len(rest)) && (end || len(got) == 0) {
		t.Fatalf("a page of %d rows, %d are left, end %v", len(got), len(rest), end)
	}
	for i := range got {
		if got[i] != rest[i] {
			t.Fatalf("row %d is %+v, want %+v", i, got[i], rest[i])
		}
	}
}

package catalogtest

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// testConcurrent reads pages and looks ids up while states come and are pinned.
// Every answer must be of one state alone: the rows of state N all gained their
// certification at position N.
func testConcurrent(t *testing.T, open func(*testing.T, State) Subject) {
	const states = 10
	sub := open(t, NewState(300, 1))
	pin(t, sub.Source)
	var group errgroup.Group
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		for position := uint64(2); position <= states; position++ {
			sub.Publish(t, NewState(300, position))
			if tip, err := sub.Source.Pin(t.Context()); err != nil || tip.Position != position {
				return fmt.Errorf("pinned position %d, want %d: %w", tip.Position, position, err)
			}
		}
		return nil
	})
	for range 2 {
		group.Go(func() error { return untilClosed(t.Context(), done, sub.Source, onePass) })
		group.Go(func() error { return untilClosed(t.Context(), done, sub.Source, oneLookup) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func untilClosed(ctx context.Context, done <-chan struct{}, s catalog.Source, f func(context.Context, catalog.Source) error) error {
	for {
		select {
		case <-done:
			return nil
		default:
			if err := f(ctx, s); err != nil {
				return err
			}
		}
	}
}

func onePass(ctx context.Context, s catalog.Source) error {
	rows, after, seen := make([]recovery.Row, 37), recovery.Mark{}, 0
	for {
		info, err := s.Page(ctx, after, rows)
		if err != nil {
			return err
		}
		seen += info.N
		for _, row := range rows[:info.N] {
			if row.Gained != info.Stamp.Position {
				return fmt.Errorf("a page of position %d has a row of position %d", info.Stamp.Position, row.Gained)
			}
			if after.Covers(row.ID) {
				return fmt.Errorf("%v follows %v", row.ID, after)
			}
			after = recovery.MarkAt(row.ID)
		}
		if info.End {
			break
		}
	}
	if seen != 300 {
		return fmt.Errorf("a pass saw %d rows, want 300", seen)
	}
	return nil
}

func oneLookup(ctx context.Context, s catalog.Source) error {
	ids := []recovery.BlobID{}
	for _, row := range NewState(300, 1).Certified() {
		ids = append(ids, row.ID)
	}
	stamp, rows, err := s.Lookup(ctx, ids)
	if err != nil {
		return err
	}
	if len(rows) != len(ids) {
		return fmt.Errorf("looked %d ids up and found %d", len(ids), len(rows))
	}
	for _, row := range rows {
		if row.Gained != stamp.Position {
			return fmt.Errorf("an answer of position %d has a row of position %d", stamp.Position, row.Gained)
		}
	}
	return nil
}

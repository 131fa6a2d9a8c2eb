package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// reading is a catalog as verbs read it that take no lock: one state that does not
// move, whatever a daemon does meanwhile.
type reading struct {
	tip recovery.Tip
	// rows yields the certified blobs after a mark.
	rows func(ctx context.Context, after recovery.Mark) iter.Seq2[recovery.Row, error]
	// note says what the state leaves out; empty: nothing.
	note string
	io.Closer
}

// openReading opens the catalog that a daemon with this configuration would scan.
// A catalog that follows events is read as its newest snapshots hold it, since the
// daemon has its log.
func openReading(ctx context.Context, cfg *runConfig) (*reading, error) {
	if cfg.Events != "" || cfg.Catalog == "" {
		r, err := openSnapshots(ctx, cfg)
		if err == nil || cfg.Catalog == "" || !errors.Is(err, errNoSnapshot) {
			return r, withCode(exitConfig, err)
		}
	}
	var source scannable
	var err error
	if isPostgres(cfg.Catalog) {
		source, err = openPostgres(cfg)
	} else {
		source, err = openFile(ctx, cfg)
	}
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("catalog: %w", err))
	}
	tip, err := source.Pin(ctx)
	if err != nil {
		return nil, errors.Join(withCode(exitConfig, fmt.Errorf("catalog: %w", err)), source.Close())
	}
	return &reading{tip: tip, Closer: source, rows: func(ctx context.Context, after recovery.Mark) iter.Seq2[recovery.Row, error] {
		return catalog.Rows(ctx, source, after)
	}}, nil
}

var errNoSnapshot = errors.New("the catalog that follows events has made no snapshot yet, and its log is the daemon's")

// openSnapshots opens the newest state that a followed catalog's snapshots hold.
func openSnapshots(ctx context.Context, cfg *runConfig) (*reading, error) {
	placement, err := cfg.placement()
	if err != nil {
		return nil, err
	}
	dir := catalogDir(cfg.StateDir)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoSnapshot, err)
	}
	a, err := archive.Open(archive.Config{Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	listing, err := a.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	routes := archive.Routes(listing.Entries)
	if len(routes) == 0 {
		return nil, errNoSnapshot
	}
	best := slices.MaxFunc(routes, func(a, b archive.Route) int { return compareUint(a.Position(), b.Position()) })
	state, err := a.OpenState(ctx, best)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	sum, err := snapshot.SumUp(ctx, state)
	scans, ok := state.State.(interface{ Scan() *snapshot.Scan })
	if err == nil && !ok {
		err = fmt.Errorf("%s cannot be scanned", best.Full.Name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: %w", err), state.Close())
	}
	return &reading{
		tip: recovery.Tip{
			Bound: sum.Bound, Blobs: sum.Totals.Certified, Bytes: sum.Totals.Bytes(), Ancestors: state.Header().Ancestors,
		},
		rows: func(ctx context.Context, after recovery.Mark) iter.Seq2[recovery.Row, error] {
			return scanRows(ctx, placement, scans.Scan(), after)
		},
		note:   fmt.Sprintf("as of the newest snapshot of the followed catalog, position %d; events after it are not looked at", best.Position()),
		Closer: state,
	}, nil
}

func compareUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// scanRows yields what a scan does, after a mark, and refuses what nothing here
// could judge.
func scanRows(ctx context.Context, placement shards.Placement, scan *snapshot.Scan, after recovery.Mark) iter.Seq2[recovery.Row, error] {
	return func(yield func(recovery.Row, error) bool) {
		if after.End() {
			return
		}
		err := scan.Seek(after)
		rows := make([]recovery.Row, 256)
		for end := false; err == nil && !end; {
			var n int
			if n, end, err = scan.Fill(ctx, rows); err == nil {
				err = refuseRows(placement, rows[:n])
			}
			for _, row := range rows[:n] {
				if err == nil && !yield(row, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(recovery.Row{}, err)
		}
	}
}

// openMarked opens a store for reading and makes sure that it was made for these
// blobs. One without marker was not made by recoverd, and may be right.
func openMarked(ctx context.Context, cfg *runConfig, network string, own shards.Ownership) (*fs.Reader, error) {
	placement, err := cfg.placement()
	if err == nil {
		err = placement.CheckTotal(own.TotalShards)
	}
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	r, err := fs.OpenReader(ctx, cfg.Store)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	m, marked := r.Marker()
	switch {
	case !marked:
		return r, nil
	case m.Network != network:
		err = fmt.Errorf("the store %s was made for network %q, the catalog is of %q", cfg.Store, m.Network, network)
	case m.TotalShards != own.TotalShards:
		err = fmt.Errorf("the store %s was made for %d shards in total, the ownership says %d", cfg.Store, m.TotalShards, own.TotalShards)
	case m.Placement != placement:
		err = fmt.Errorf("the store %s is %v: it needs --placement %v", cfg.Store, m.Placement, m.Placement)
	}
	if err != nil {
		return nil, errors.Join(withCode(exitConfig, err), r.Close())
	}
	return r, nil
}

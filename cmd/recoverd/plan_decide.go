package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/store"
	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

// planRun asks for the machine's own decision under the facts that a run would find,
// and counts what follows from it.
func planRun(ctx context.Context, cfg *runConfig, stderr io.Writer) (p *runPlan, err error) {
	own, err := loadOwnership(ctx, cfg)
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("ownership: %w", err))
	}
	r, err := openReading(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, r.Close()) }()
	p = &runPlan{Ownership: own, Catalog: r.tip.Bound, Notes: []string{}, Waits: recovery.PreviewWait(own)}
	if r.note != "" {
		p.Notes = append(p.Notes, r.note)
	}
	saved, err := readSaved(cfg.StateDir)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	if saved.InUse {
		p.Notes = append(p.Notes, "a daemon is running: this is as of its last save")
	}
	placement, err := cfg.placement()
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	prev := saved.Record.Progress
	f := recovery.Facts{Ownership: own, Placement: placement, Tip: joined(r, prev), LastRun: saved.LastRun, Note: saved.Note()}
	report, err := previewStore(ctx, cfg, recovery.PreviewStore(prev, f))
	switch {
	case errors.Is(err, store.ErrEmpty), errors.Is(err, store.ErrMissing):
		p.Waits = err.Error()
		return p, nil
	case err != nil:
		return nil, withCode(exitConfig, err)
	}
	f.Store = report
	next, err := recovery.Preview(prev, f)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	p.Origin, p.Covered, p.Bound, p.Unsettled = &next.Origin, next.Covered, &next.Bound, len(next.Unsettled)
	return p, p.count(ctx, cfg, r, newLook(next, f.Tip, own), stderr)
}

// readSaved reads what a run would resume from. Where the list is lost, a run
// looks at everything above the cursor again (I4).
func readSaved(dir string) (checkpoint.Description, error) {
	none := checkpoint.Description{LoadReport: checkpoint.LoadReport{Source: checkpoint.SourceNone}}
	if dir == "" {
		return none, nil
	}
	d, err := checkpoint.Describe(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return d, err
	}
	if p := d.Record.Progress; p != nil && d.List != checkpoint.ListWhole {
		dropped := *p
		dropped.Covered, dropped.Scan, dropped.Unsettled = nil, p.Cursor, nil
		d.Record.Progress = &dropped
	}
	return d, nil
}

// joined is the tip that a run would be given. A followed catalog is at least where
// its daemon left it, and its log joins every state of it.
func joined(r *reading, prev *recovery.Progress) recovery.Tip {
	tip := r.tip
	if r.note == "" || prev == nil || prev.Bound.Network != tip.Network {
		return tip
	}
	tip.Ancestors = append(slices.Clone(tip.Ancestors), recovery.Ancestor{Position: prev.Bound.Position, Digest: prev.Bound.Digest})
	if tip.Position < prev.Bound.Position {
		tip.Bound = prev.Bound
	}
	return tip
}

func previewStore(ctx context.Context, cfg *runConfig, req recovery.StoreRequest) (recovery.StoreReport, error) {
	layout, err := store.ParseLayout(cfg.Layout)
	if err != nil {
		return recovery.StoreReport{}, err
	}
	plan, err := storefs.Preview(ctx, storefs.Config{Root: cfg.Store, Create: cfg.StoreCreate, Layout: layout}, req)
	return plan.Report, err
}

// openInventory tells which blobs are stored, without the store's lock; nil where there is
// no store yet.
func openInventory(ctx context.Context, cfg *runConfig, network string, own shards.Ownership) (*storefs.Inventory, *storefs.Reader, error) {
	reader, err := storefs.OpenReader(ctx, cfg.Store)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, withCode(exitConfig, err)
	}
	placement, err := cfg.placement()
	if err != nil {
		return nil, nil, errors.Join(withCode(exitConfig, err), reader.Close())
	}
	sizes := &erasure.Sizes{Local: reader}
	inventory, err := reader.Inventory(storefs.Config{Root: cfg.Store, PieceSize: sizes.Of}, recovery.StoreRequest{
		Network: network, TotalShards: own.TotalShards, Placement: placement, Owned: own.Owned,
	})
	if err != nil {
		return nil, nil, errors.Join(withCode(exitConfig, fmt.Errorf("look into the store: %w", err)), reader.Close())
	}
	return inventory, reader, nil
}

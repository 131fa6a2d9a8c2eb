package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/boltdb"
	"github.com/recoverd/recoverd/recovery/catalog/postgres"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/shards"
)

// scannable is a catalog that a run can scan: a snapshot file, a state in bbolt or
// in Postgres, or one that follows events.
type scannable interface {
	catalog.Source
	io.Closer
	view() statusapi.CatalogView
	// expect estimates the certified blobs, for the layout of a new store; 0: not
	// known.
	expect() uint64
}

// openCatalog opens what --catalog names. A catalog that follows events needs the
// state directory's lock first, and is opened later.
func (n *node) openCatalog(ctx context.Context) (err error) {
	switch {
	case n.cfg.Events != "":
		return n.checkBase()
	case isPostgres(n.cfg.Catalog):
		n.catalog, err = openPostgres(n.cfg)
	default:
		n.catalog, err = openFile(ctx, n.cfg)
	}
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("catalog: %w", err))
	}
	n.closeLater(n.catalog)
	return nil
}

// fileCatalog is a snapshot, or a state in bbolt, as it lies there.
type fileCatalog struct {
	*catalog.File
	path string
}

// openContent opens a file by what it holds.
func openContent(path string) (catalog.Content, error) {
	r, err := snapshot.Open(path)
	if !errors.Is(err, snapshot.ErrNotSnapshot) {
		return r, err
	}
	content, boltErr := boltdb.OpenReader(path)
	if errors.Is(boltErr, catalog.ErrForeign) {
		return nil, err
	}
	return content, boltErr
}

// openFile proves a catalog that no progress was made with yet: every byte of it,
// once. Afterwards blocks are proven as they are read, and a restart costs the same
// with any number of blobs.
func openFile(ctx context.Context, cfg *runConfig) (*fileCatalog, error) {
	placement, err := cfg.placement()
	if err != nil {
		return nil, err
	}
	accept := refuseUnverifiable(placement)
	content, err := openContent(cfg.Catalog)
	if err != nil {
		return nil, err
	}
	record, _, err := checkpoint.ReadMirror(cfg.StateDir)
	p := record.Progress
	known := err == nil && p != nil && p.Bound == content.Bound() && p.Fence.Placement == placement
	if err = nil; !known {
		err = content.Verify(ctx)
	}
	if err == nil && (!known || content.Totals().Unsized > 0) {
		err = accept(ctx, content)
	}
	if err = errors.Join(err, content.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Catalog, err)
	}
	open := catalog.NewFile
	if _, bolt := content.(*boltdb.Reader); bolt {
		open = boltdb.Open
	}
	f, err := open(catalog.FileConfig{Path: cfg.Catalog, Accept: accept, WatchAfter: watchAfter})
	if err != nil {
		return nil, err
	}
	return &fileCatalog{f, cfg.Catalog}, nil
}

// view tells of a new catalog that is bad, and of one that is gone.
func (f *fileCatalog) view() statusapi.CatalogView {
	r := f.Rejected()
	view := statusapi.CatalogView{Refusals: r.Count}
	if r.Err != nil {
		view.Trouble = r.Err.Error()
	} else if _, err := os.Stat(f.path); err != nil {
		view.Trouble = err.Error()
	}
	return view
}

func (f *fileCatalog) expect() uint64 {
	content, err := openContent(f.path)
	if err != nil {
		return 0
	}
	defer func() { _ = content.Close() }()
	return content.Totals().Certified
}

func isPostgres(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// postgresCatalog is a state that was restored into Postgres.
type postgresCatalog struct {
	*postgres.Catalog
	placement shards.Placement
}

func openPostgres(cfg *runConfig) (*postgresCatalog, error) {
	placement, err := cfg.placement()
	if err != nil {
		return nil, err
	}
	c, err := postgres.Open(postgres.OpenConfig{DSN: cfg.Catalog})
	if err != nil {
		return nil, err
	}
	return &postgresCatalog{c, placement}, nil
}

// Page refuses blobs whose bytes nothing here could judge (DESIGN 8).
func (p *postgresCatalog) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	info, err := p.Catalog.Page(ctx, after, rows)
	return info, errors.Join(err, refuseRows(p.placement, rows[:info.N]))
}

func (p *postgresCatalog) view() statusapi.CatalogView { return statusapi.CatalogView{} }
func (p *postgresCatalog) expect() uint64              { return 0 }

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rs/zerolog"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/transfer"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// followed is the catalog that this node keeps by itself, in its state directory,
// from events. Where there is none yet it begins with a snapshot: the one that
// --catalog names, or the best that --snapshot-peer has. Until then every question
// is answered by what is waited for, so that status can tell it.
type followed struct {
	cfg    *runConfig
	dir    string
	log    zerolog.Logger
	source event.Source
	// placement is what the blobs have to fit.
	placement shards.Placement
	began     chan struct{} // closed once the catalog is there

	mu      sync.Mutex
	catalog *eventlog.Catalog
	waits   error
	found   map[snapshot.Kind]statusapi.SnapshotView // when it was opened
}

// openFollowed makes the catalog known; run opens it.
func (n *node) openFollowed(context.Context) error {
	if n.cfg.Events == "" {
		return nil
	}
	source, err := n.cfg.followConfig.source()
	if err != nil {
		return withCode(exitConfig, err)
	}
	n.followed = &followed{
		cfg: n.cfg, dir: catalogDir(n.cfg.StateDir), log: n.log, source: source, placement: n.placement, began: make(chan struct{}),
		waits: errors.New("the catalog is being opened"),
	}
	n.catalog = n.followed
	n.closeLater(n.followed)
	return nil
}

// Close closes the catalog and its source. run must have returned.
func (f *followed) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.source.Close()
	if f.catalog != nil {
		err = errors.Join(err, f.catalog.Close())
	}
	return err
}

// get returns the catalog, or why it is not there yet.
func (f *followed) get() (*eventlog.Catalog, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.catalog == nil {
		return nil, f.waits
	}
	return f.catalog, nil
}

// openingWait is how long a catalog may take to be opened before that is told as
// trouble.
const openingWait = 2 * time.Second

// Pin implements catalog.Source. At the position to stop at the catalog is at the
// only tip that was asked for.
func (f *followed) Pin(ctx context.Context) (recovery.Tip, error) {
	timer := time.NewTimer(openingWait)
	defer timer.Stop()
	select {
	case <-f.began:
	case <-timer.C:
	case <-ctx.Done():
		return recovery.Tip{}, context.Cause(ctx)
	}
	c, err := f.get()
	if err != nil {
		return recovery.Tip{}, err
	}
	tip, err := c.Pin(ctx)
	if err == nil && c.Status().Tip == 0 && heard(ctx, c) {
		tip, err = c.Pin(ctx)
	}
	if err == nil && f.cfg.StopAtPosition != 0 && tip.Position == f.cfg.StopAtPosition {
		tip.AtTip = true
	}
	return tip, err
}

// heard waits a moment for a source that was not heard since the start: else a node
// that has everything would find out at its next look for a newer catalog only.
func heard(ctx context.Context, c *eventlog.Catalog) bool {
	ctx, cancel := context.WithTimeout(ctx, openingWait)
	defer cancel()
	return c.Changed(ctx) == nil
}

// Page implements catalog.Source. It refuses blobs whose bytes nothing here could
// judge (DESIGN 8).
func (f *followed) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	c, err := f.get()
	if err != nil {
		return recovery.PageInfo{}, err
	}
	info, err := c.Page(ctx, after, rows)
	return info, errors.Join(err, refuseRows(f.placement, rows[:info.N]))
}

// PageSince implements catalog.Narrower.
func (f *followed) PageSince(ctx context.Context, since recovery.Bound, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	c, err := f.get()
	if err != nil {
		return recovery.PageInfo{}, err
	}
	info, err := c.PageSince(ctx, since, after, rows)
	return info, errors.Join(err, refuseRows(f.placement, rows[:info.N]))
}

// Lookup implements catalog.Source.
func (f *followed) Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error) {
	c, err := f.get()
	if err != nil {
		return recovery.Stamp{}, nil, err
	}
	return c.Lookup(ctx, ids)
}

// Changed implements catalog.Source.
func (f *followed) Changed(ctx context.Context) error {
	select {
	case <-f.began:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c, err := f.get()
	if err != nil {
		return err
	}
	return c.Changed(ctx)
}

func (f *followed) expect() uint64 {
	if f.cfg.Catalog == "" {
		return 0
	}
	content, err := openContent(f.cfg.Catalog)
	if err != nil {
		return 0
	}
	defer func() { _ = content.Close() }()
	return content.Totals().Certified
}

// run opens the catalog, and follows the events until ctx ends or the position to
// stop at is reached. What a person must mend ends it with an error that carries its
// exit code; everything else is tried again.
func (f *followed) run(ctx context.Context) error {
	for delay := time.Duration(0); ; {
		c, err := f.open(ctx)
		if err == nil {
			f.begin(c, newestOf(ctx, f.dir))
			break
		}
		if fatal(err) {
			return catalogCode(err)
		}
		if ctx.Err() != nil {
			return nil
		}
		f.wait(err)
		delay = min(max(2*delay, recovery.RetryMin), recovery.RetryMax)
		if pause(ctx, delay) != nil {
			return nil
		}
	}
	err := f.catalog.Follow(ctx, f.source)
	if ctx.Err() != nil && !errors.Is(err, eventlog.ErrFailed) {
		return nil
	}
	return catalogCode(err)
}

// fatal reports whether trying again is no use.
func fatal(err error) bool {
	for _, target := range []error{
		eventlog.ErrLocked, eventlog.ErrCreate, eventlog.ErrFailed, eventlog.ErrVersion, eventlog.ErrPastStop, recovery.ErrMisconfigured,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *followed) begin(c *eventlog.Catalog, found map[snapshot.Kind]statusapi.SnapshotView) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.catalog, f.waits, f.found = c, nil, found
	close(f.began)
	at := c.Opened()
	line := f.log.Info()
	if at.Damage != nil {
		line = f.log.Warn().AnErr("damage", at.Damage).Str("set_aside", at.SetAside)
	}
	line.Str("network", at.At.Network).Uint32("epoch", at.At.Epoch).Uint64("position", at.At.Position).Bool("rebuilt", at.Rebuilt).Msg("catalog opened")
}

// wait notes why the catalog is not there yet; the log says it once for each reason.
func (f *followed) wait(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waits == nil || f.waits.Error() != err.Error() {
		f.log.Warn().Err(err).Msg("the catalog is not there yet; trying again")
	}
	f.waits = err
}

// open opens the catalog, after filling an empty directory.
func (f *followed) open(ctx context.Context) (*eventlog.Catalog, error) {
	cfg := f.cfg.followConfig.eventlog(f.dir, f.cfg.StopAtPosition)
	cfg.Observer = catalogLog{f.log}
	empty, err := f.empty(ctx)
	switch {
	case err != nil:
		return nil, err
	case !empty:
	case f.cfg.Catalog != "":
		if _, err := eventlog.Seed(ctx, cfg, f.cfg.Catalog); err != nil {
			return nil, err
		}
	case len(f.cfg.SnapshotPeers) > 0:
		if err := f.fetch(ctx); err != nil {
			return nil, err
		}
	}
	return eventlog.Open(ctx, cfg)
}

// empty reports whether the directory holds neither a log nor a snapshot, or the
// rest of a filling that was killed.
func (f *followed) empty(ctx context.Context) (bool, error) {
	if err := os.Mkdir(f.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return false, fmt.Errorf("%w: %w", eventlog.ErrCreate, err)
	}
	unseeded, err := eventlog.Unseeded(f.dir)
	if err != nil || unseeded {
		return unseeded, err
	}
	if _, err := os.Stat(filepath.Join(f.dir, "log.db")); !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	a, err := archive.Open(archive.Config{Dir: f.dir})
	if err != nil {
		return false, err
	}
	listing, err := a.List(ctx)
	return len(archive.Routes(listing.Entries)) == 0, err
}

// fetch brings the best snapshot that the peers have: the events must go on from it.
func (f *followed) fetch(ctx context.Context) error {
	a, err := archive.Open(archive.Config{Dir: f.dir, Network: f.cfg.Network})
	if err != nil {
		return err
	}
	target := f.cfg.StopAtPosition
	if target == 0 {
		target = archive.Latest
	}
	result, err := transfer.Fetch(ctx, transfer.Config{
		Archive: a, Peers: f.cfg.SnapshotPeers, Network: f.cfg.Network, Target: target, Agree: f.cfg.SnapshotAgree,
		Covers: func(from uint64) bool { return f.covers(ctx, from) },
	})
	if err != nil {
		return err
	}
	f.log.Info().Str("full", result.Route.Full.Name.String()).Uint64("position", result.Route.Position()).
		Str("fetched", humanize.IBytes(uint64(result.Fetched))).Msg("the catalog begins with a peer's snapshot")
	return nil
}

// covers reports whether the source has the events after a position.
func (f *followed) covers(ctx context.Context, from uint64) bool {
	_, _, err := f.source.Read(ctx, from, 1)
	var missing *event.MissingError
	return !errors.As(err, &missing)
}

// catalogLog writes what happens to a followed catalog into the log.
type catalogLog struct{ log zerolog.Logger }

// Observe implements eventlog.Observer.
func (l catalogLog) Observe(notice eventlog.Notice) {
	switch n := notice.(type) {
	case eventlog.TroubleBegan:
		l.log.Warn().Err(n.Err).Msg("the catalog cannot follow its events; trying again")
	case eventlog.TroubleEnded:
		l.log.Info().Uint64("failures", n.Failures).Msg("the catalog follows its events again")
	case eventlog.SnapshotMade:
		l.log.Info().Stringer("kind", n.Kind).Uint64("position", n.Position).Dur("took", n.Took).Msg("snapshot made")
	case eventlog.SnapshotFailed:
		l.log.Warn().Stringer("kind", n.Kind).Err(n.Err).Msg("no snapshot could be made; the old ones stay")
	}
}

var (
	_ catalog.Source   = (*followed)(nil)
	_ catalog.Narrower = (*followed)(nil)
)

// follow runs a catalog that follows events beside the worker, whose context ends
// when the catalog cannot go on. join ends it and returns why it ended; at the
// position to stop at it waits for the snapshot, and after a halt for nothing, since a
// write may hang and the process must be gone (I12).
func (n *node) follow(ctx context.Context) (working context.Context, join func(worker.Result) error) {
	if n.followed == nil {
		return ctx, func(worker.Result) error { return nil }
	}
	working, fail := context.WithCancel(ctx)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := n.followed.run(following)
		if err != nil {
			fail()
		}
		ended <- err
	}()
	return working, func(result worker.Result) error {
		if n.cfg.StopAtPosition == 0 || result.Phase != recovery.PhaseComplete {
			stop()
		}
		defer fail()
		defer stop()
		if result.Phase == recovery.PhaseHalted {
			return nil
		}
		return <-ended
	}
}

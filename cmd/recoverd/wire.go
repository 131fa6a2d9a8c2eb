package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// node is everything a run consists of. This file, and peers.go for
// peers, are the only places that name concrete types. What only reads is opened first, so that a mistake in the
// configuration is told before anything is written.
type node struct {
	cfg        *runConfig
	log        zerolog.Logger
	level      *logLevel // of log
	ownership  ownershipSource
	catalog    scannable
	followed   *followed // nil unless the catalog follows events
	keeper     *keeper
	placement  shards.Placement
	layout     store.Layout
	durability fs.Durability
	store      *watchedStore
	pool       *peer.Pool
	handler    *syncer.Handler
	worker     *worker.Worker
	token      statusapi.Token
	servers    []func(context.Context) error
	closers    []io.Closer // closed last to first
}

// watchAfter is when the directories of the catalog and the ownership are watched: a
// run that finds all there ends before, and need not wait for the kernel to let go.
const watchAfter = 250 * time.Millisecond

func wire(ctx context.Context, cfg *runConfig, log zerolog.Logger, level *logLevel) (_ *node, err error) {
	n := &node{cfg: cfg, log: log, level: level}
	n.warnFiles()
	defer func() {
		if err != nil {
			_ = n.close() // the first error is the one to tell
		}
	}()
	for _, open := range []func(context.Context) error{
		n.checkConfig, n.openOwnership, n.openPeers, n.openCatalog, n.openCheckpoint, n.openFollowed, n.openStore, n.openSyncer, n.openWorker, n.openServers,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *node) closeLater(c io.Closer) { n.closers = append(n.closers, c) }

// close closes what was opened, in reverse, and joins what they started.
func (n *node) close() error {
	var problems []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		problems = append(problems, n.closers[i].Close())
	}
	n.closers = nil
	return errors.Join(problems...)
}

// checkConfig turns words into values and proves the limits, before anything is
// opened.
func (n *node) checkConfig(context.Context) (err error) {
	if n.placement, err = n.cfg.placement(); err != nil {
		return withCode(exitConfig, err)
	}
	if n.layout, err = store.ParseLayout(n.cfg.Layout); err != nil {
		return withCode(exitConfig, err)
	}
	if n.durability, err = fs.ParseDurability(n.cfg.Durability); err != nil {
		return withCode(exitConfig, err)
	}
	var problems []error
	for flag, value := range map[string]int64{
		"group-blobs": int64(n.cfg.GroupBlobs), "park-after": int64(n.cfg.ParkAfter),
		"parked-retry":    int64(n.cfg.ParkedRetry),
		"follow-interval": int64(n.cfg.FollowInterval), "stop-grace": int64(n.cfg.StopGrace),
	} {
		if value < 1 {
			problems = append(problems, fmt.Errorf("--%s must be more than zero", flag))
		}
	}
	if n.cfg.Hedge < 0 {
		problems = append(problems, errors.New("--hedge must not be less than zero"))
	}
	problems = append(problems, n.checkTemplates(), n.checkTLS(), n.cfg.limits().Validate(), n.cfg.pool().Validate(), n.machineConfig().Validate())
	return withCode(exitConfig, errors.Join(problems...))
}

func (n *node) machineConfig() recovery.Config {
	return recovery.Config{
		Placement: n.placement, Slots: n.cfg.Concurrency.number, BytesInFlight: int64(n.cfg.BytesInFlight),
		ParkAfter: n.cfg.ParkAfter, ParkedRetry: n.cfg.ParkedRetry, FollowInterval: n.cfg.FollowInterval,
	}
}

func (n *node) openCheckpoint(context.Context) error {
	s, err := checkpoint.Open(checkpoint.Config{Dir: n.cfg.StateDir})
	if err != nil {
		return checkpointCode(err)
	}
	n.keeper = newKeeper(s, n.cfg.StateDir)
	n.closeLater(n.keeper)
	if note := n.keeper.snapshot().Note; note != "" { // at once: a run may be over before anybody asks
		n.log.Warn().Str("state_dir", n.cfg.StateDir).Str("why", note).Msg("saved progress was damaged")
	}
	return nil
}

// checkpointCode turns an error of opening the state into its exit code.
func checkpointCode(err error) error {
	switch {
	case errors.Is(err, checkpoint.ErrLocked):
		return withCode(exitTryAgain, err)
	case errors.Is(err, checkpoint.ErrCreate):
		return withCreateCode(err)
	case errors.Is(err, checkpoint.ErrConfig), errors.Is(err, checkpoint.ErrVersion):
		return withCode(exitConfig, err)
	}
	return withCode(exitHalted, err)
}

func (n *node) openStore(ctx context.Context) error {
	sizes := &erasure.Sizes{}
	s, err := fs.Open(fs.Config{
		Root: n.cfg.Store, Create: n.cfg.StoreCreate, Layout: n.layout, MinFree: uint64(n.cfg.MinFree), Durability: n.durability,
		ExpectedPerShard: n.expectedPerShard(ctx), PieceSize: sizes.Of,
	})
	if err != nil {
		return storeCode(err)
	}
	sizes.Local = s // which is not asked anything before it is prepared
	n.store = &watchedStore{Store: s}
	n.closeLater(n.store)
	return nil
}

// storeCode turns an error of opening a store into its exit code.
func storeCode(err error) error {
	if errors.Is(err, fs.ErrLocked) {
		return withCode(exitTryAgain, err)
	}
	return withCode(exitConfig, err)
}

func (n *node) openSyncer(context.Context) error {
	fetcher, verifiers, err := n.stripedFetcher()
	if err != nil {
		return withCode(exitConfig, err)
	}
	handler, err := syncer.New(syncer.Config{
		Store: n.store, Fetcher: fetcher, Verifiers: verifiers, Barrier: syncer.BarrierConfig{Blobs: n.cfg.GroupBlobs},
	})
	if err != nil {
		return withCode(exitConfig, err)
	}
	n.handler = handler
	n.closeLater(handler)
	return nil
}

func (n *node) openWorker(context.Context) error {
	kept := kept{dir: n.cfg.StateDir, log: n.log}
	limits, err := kept.limits()
	if err != nil {
		return withCode(exitHalted, fmt.Errorf("limits: %w", err))
	}
	history, err := kept.history()
	if err != nil {
		return withCode(exitHalted, fmt.Errorf("history: %w", err))
	}
	w, err := worker.New(worker.Config{
		Machine: n.machineConfig(), Checkpoint: n.keeper, Ownership: n.ownership, Catalog: n.catalog, Follower: n.catalog, Store: n.store,
		Syncer: n.handler, Peers: n.pool, Delays: &syncer.Retry{}, Observers: []worker.Observer{worker.Log{Logger: n.log}},
		Pieces: n.store, Liars: n.pool, Bandwidth: n.pool, BytesPerSecond: int64(n.cfg.BWLimit),
		Load: load{n.handler, n.pool}, Auto: n.cfg.Concurrency.auto, ConcurrencyMax: n.cfg.ConcurrencyMax,
		Limits: limits, KeepLimits: kept.keepLimits, History: history, KeepHistory: kept.keepHistory,
		ExitWhenComplete: n.cfg.ExitWhenComplete || n.cfg.StopAtPosition != 0, StopGrace: n.cfg.StopGrace,
	})
	if err != nil {
		return withCode(exitConfig, err)
	}
	n.worker = w
	return nil
}

// load is what the transfers do, as the worker asks for it.
type load struct {
	handler *syncer.Handler
	pool    *peer.Pool
}

func (l load) Received() uint64 { return l.handler.Received() }
func (l load) Overload() uint64 { return l.pool.Overload() }

// run works until the worker ends; the servers end with it.
func (n *node) run(ctx context.Context) (worker.Result, error) {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	for _, serve := range n.servers {
		group.Go(func() error {
			if err := serve(serving); err != nil {
				n.log.Error().Err(err).Msg("serving status ended")
			}
			return nil
		})
	}
	working, follows := n.follow(ctx)
	notify := startNotifier(n)
	result, err := n.worker.Run(working)
	err = errors.Join(err, follows(result))
	notify.close()
	stop()
	_ = group.Wait() // each told its error itself
	return result, err
}

// progressEvery is the time between two progress lines in the log.
const progressEvery = 10 * time.Second

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// followConfig says how a catalog follows events, and when it makes snapshots. It is
// part of `run` and of `catalog apply`.
type followConfig struct {
	Events         string
	Network        string
	EpochSnapshots bool
	FullEvery      int64
	IncrEvery      int64
	KeepFulls      int
	KeepIncrements int
	KeepOlder      int
	MaxChunk       byteSize
	CatalogMinFree byteSize
}

func (c *followConfig) register(f *pflag.FlagSet) {
	f.StringVar(&c.Events, "events", "", "events to follow: a file of lines that grows, a directory of *.ndjson files, or an http(s) URL that pages with ?after=N&limit=M")
	f.StringVar(&c.Network, "network", "", "name of the network whose events they are; needed where no snapshot says it")
	f.BoolVar(&c.EpochSnapshots, "epoch-snapshots", true, "make a full snapshot at the beginning of every epoch, before anything else of it is applied")
	f.Int64Var(&c.FullEvery, "full-every", 25_000, "positions between two full snapshots; -1 for none")
	f.Int64Var(&c.IncrEvery, "incr-every", 100, "positions between two incremental snapshots; -1 for none")
	f.IntVar(&c.KeepFulls, "keep-fulls", 2, "newest full snapshots to keep")
	f.IntVar(&c.KeepIncrements, "keep-increments", 4, "newest incremental snapshots to keep of the newest full one; -1 for none")
	f.IntVar(&c.KeepOlder, "keep-older", 1, "the same for each older full one; -1 for none")
	f.Var(&c.MaxChunk, "max-chunk", "size above which a snapshot is cut into several files; 0 for never")
	f.Var(&c.CatalogMinFree, "catalog-min-free", "free space that making a snapshot leaves; 0 is the larger of 5 % and 1 GiB")
}

// eventlog returns the configuration of the catalog in dir.
func (c *followConfig) eventlog(dir string, stopAt uint64) eventlog.Config {
	return eventlog.Config{
		Dir: dir, Network: c.Network, EpochSnapshots: c.EpochSnapshots, FullEvery: c.FullEvery, IncrEvery: c.IncrEvery, StopAt: stopAt,
		Retain: archive.Policy{Fulls: c.KeepFulls, Increments: c.KeepIncrements, Older: c.KeepOlder}, MinFree: int64(c.CatalogMinFree), MaxChunk: int64(c.MaxChunk),
	}
}

// source opens where the events come from.
func (c *followConfig) source() (event.Source, error) {
	if strings.HasPrefix(c.Events, "http://") || strings.HasPrefix(c.Events, "https://") {
		return event.NewHTTP(event.HTTPConfig{URL: c.Events, Network: c.Network})
	}
	return event.NewFiles(event.FilesConfig{Path: c.Events, Network: c.Network})
}

// catalogCode turns an error of a followed catalog into its exit code.
func catalogCode(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, eventlog.ErrLocked):
		return withCode(exitTryAgain, err)
	case errors.Is(err, eventlog.ErrCreate):
		return withCreateCode(err)
	case errors.Is(err, eventlog.ErrFailed):
		return withCode(exitHalted, err)
	case errors.Is(err, recovery.ErrMisconfigured), errors.Is(err, eventlog.ErrVersion), errors.Is(err, eventlog.ErrUnfinished), errors.Is(err, eventlog.ErrPastStop):
		return withCode(exitConfig, err)
	}
	return planCode(err)
}

// checkBase looks at the snapshot that a followed catalog is to begin with.
func (n *node) checkBase() error {
	if n.cfg.Catalog == "" {
		return nil
	}
	if _, err := os.Stat(n.cfg.Catalog); err != nil {
		return withCode(exitConfig, fmt.Errorf("catalog: %w", err))
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// catalogApply says what to apply to which catalog.
type catalogApply struct {
	followConfig
	Dir, Base string
	Until     uint64
}

func newCatalogApplyCommand() *cobra.Command {
	cfg := catalogApply{}
	var output string
	cmd := &cobra.Command{
		Use:   "apply --dir DIR --events SOURCE",
		Short: "Apply events to a followed catalog, as far as they go or up to a position",
		Long: `Apply events to the catalog in a directory, which is made if it is not there, until
there are no more. With --until it stops exactly at that position and makes a full
snapshot there; if the events end before it, the exit code is 32. Snapshots are made
on the way as "run" makes them. Applied again, an event changes nothing; another one
of the same number is refused.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if cfg.Dir == "" || cfg.Events == "" {
				return withCode(exitUsage, errors.New("--dir and --events are required"))
			}
			result, err := applyEvents(cmd.Context(), cfg)
			if err != nil {
				return catalogCode(err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), result)
			}
			return result.write(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", "", "directory of the catalog, its log and its snapshots (required)")
	f.StringVar(&cfg.Base, "base", "", "full snapshot to begin with, where the directory is empty")
	f.Uint64Var(&cfg.Until, "until", 0, "position to stop at; 0: the last event")
	cfg.followConfig.register(f)
	outputFlag(cmd, &output)
	return cmd
}

// applied is what came of it, in JSON too.
type applied struct {
	recovery.Stamp
	Applied  uint64        `json:"applied"` // events
	Blobs    uint64        `json:"blobs"`   // certified
	Bytes    int64         `json:"bytes"`   // of these; -1: not known
	Snapshot *snapshotView `json:"snapshot"`
}

func (a applied) write(cmd *cobra.Command) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s@%d (epoch %d): %s applied, %s certified\n",
		a.Network, a.Position, a.Epoch, plural(a.Applied, "event"), plural(a.Blobs, "blob"))
	if err == nil && a.Snapshot != nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "snapshot %s (%s)\n", a.Snapshot.Name, size(a.Snapshot.Size))
	}
	return err
}

func applyEvents(ctx context.Context, cfg catalogApply) (result applied, err error) {
	source, err := cfg.source()
	if err != nil {
		return result, withCode(exitConfig, err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := cfg.seed(ctx); err != nil {
		return result, err
	}
	to := cfg.eventlog(cfg.Dir, cfg.Until)
	to.MakeAll = true
	c, err := eventlog.Open(ctx, to)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	before := c.Status().Position
	if cfg.Until != 0 && before > cfg.Until {
		return result, withCode(exitConfig, fmt.Errorf("the catalog is at position %d, beyond %d (snapshot restore brings it back)", before, cfg.Until))
	}
	if err := applyAll(ctx, c, source, cfg.Until); err != nil {
		return result, err
	}
	if cfg.Until != 0 {
		entry, err := c.Snapshot(ctx, snapshot.Full)
		if err != nil {
			return result, err
		}
		view := viewSnapshot(entry)
		result.Snapshot = &view
	}
	s := c.Status()
	result.Stamp, result.Blobs, result.Bytes, result.Applied = s.Stamp, s.Blobs, s.Bytes, s.Position-before
	return result, nil
}

// seed fills an empty directory from the snapshot to begin with.
func (c *catalogApply) seed(ctx context.Context) error {
	if c.Base == "" {
		return nil
	}
	unseeded, err := eventlog.Unseeded(c.Dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Dir); err == nil && !unseeded {
		l, err := eventlog.OpenLog(c.Dir, 0)
		if err != nil {
			return err
		}
		has := l.Exists()
		if err := l.Close(); err != nil || has {
			return err
		}
	}
	_, err = eventlog.Seed(ctx, c.eventlog(c.Dir, c.Until), c.Base)
	return err
}

// applyBatch is how many events are read at once.
const applyBatch = 1_000

// applyAll applies what a source has, up to a position (0: all).
func applyAll(ctx context.Context, c *eventlog.Catalog, source event.Source, until uint64) error {
	for {
		at := c.Status().Position
		if until != 0 && at >= until {
			return nil
		}
		events, tip, err := source.Read(ctx, at, applyBatch)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			if until != 0 {
				return withCode(exitMissing, &archive.MissingError{Target: until, First: at + 1, Last: until})
			}
			return nil
		}
		if err := c.Apply(ctx, events, tip); err != nil {
			return err
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/boltdb"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/eventlog"
	"github.com/recoverd/recoverd/recovery/catalog/postgres"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// snapshotRestore says what to restore, and where to.
type snapshotRestore struct {
	where           snapshotDir
	target          uint64
	to              string
	events, network string
	schema          string
}

func newSnapshotRestoreCommand() *cobra.Command {
	cfg := snapshotRestore{}
	var at, output string
	cmd := &cobra.Command{
		Use:   "restore --at POSITION --to TARGET (--dir DIR | --state-dir DIR)",
		Short: "Bring a catalog back at a position: into bbolt, Postgres, a file or in place",
		Long: `Choose the way to a position as "snapshot plan" does, and make the target hold the
state there:

  FILE.db           a state in bbolt, which "run --catalog FILE.db" scans
  postgres://...    a state in Postgres (the password best in PGPASSWORD or a pass
                    file), which "run --catalog postgres://..." scans
  FILE.rsnap        a full snapshot
  in-place          the followed catalog in the directory itself; what its log has
                    beyond the position comes from the events again

It has three phases: an empty place is prepared, filled without flushing, and then
made durable, proven by reading it back, and switched to, data and position
together. Killed at any moment the target is what it was; started again it begins
anew. Events between the snapshots and the position come from the directory's own
log, or from --events. Exit codes are those of "snapshot plan".`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			if cfg.to == "" {
				return withCode(exitUsage, errors.New("--to is required"))
			}
			if cfg.target, err = parseTarget(at); err != nil {
				return err
			}
			result, err := cfg.run(cmd.Context())
			if err != nil {
				return catalogCode(err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), result)
			}
			return result.write(cmd)
		},
	}
	cfg.where.register(cmd)
	outputFlag(cmd, &output)
	f := cmd.Flags()
	f.StringVar(&at, "at", "latest", `position to restore, or "latest"`)
	f.StringVar(&cfg.to, "to", "", "FILE.db, postgres://..., FILE.rsnap or in-place (required)")
	f.StringVar(&cfg.events, "events", "", "where to read events from instead of the directory's log; as in run")
	f.StringVar(&cfg.network, "network", "", "network, where there is no snapshot to begin with")
	f.StringVar(&cfg.schema, "schema", "recoverd", "of Postgres: where the tables lie")
	return cmd
}

// restored is what came of it, in JSON too.
type restored struct {
	Target string          `json:"target"`
	Bound  *recovery.Bound `json:"bound"` // null for in-place
	Plan   planView        `json:"plan"`
	Phases []restorePhase  `json:"phases"`
	Notes  []string        `json:"notes"`
}

type restorePhase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"nanoseconds"`
}

func (r restored) write(cmd *cobra.Command) error {
	var t table
	t.row("restored", "%s", r.Target)
	if r.Bound != nil {
		t.row("state", "%s", *r.Bound)
	} else {
		t.row("position", "%d", r.Plan.Position)
	}
	for _, s := range []*snapshotView{r.Plan.Full, r.Plan.Incremental} {
		if s != nil {
			t.row(s.Kind, "%s", s.Name)
		}
	}
	if r.Plan.Replay != nil {
		t.row("replayed", "events %d to %d", r.Plan.Replay.First, r.Plan.Replay.Last)
	}
	for _, p := range r.Phases {
		t.row(p.Name, "%v", p.Took.Round(time.Millisecond))
	}
	for _, note := range r.Notes {
		t.row("note", "%s", note)
	}
	return t.write(cmd.OutOrStdout(), 0)
}

func (c *snapshotRestore) run(ctx context.Context) (result restored, err error) {
	a, err := c.where.open()
	if err != nil {
		return result, err
	}
	if c.to == "in-place" {
		return c.inPlace(ctx, a.Dir())
	}
	source, has, err := c.history(ctx, a.Dir())
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	listing, err := a.List(ctx)
	if err != nil {
		return result, err
	}
	plan, err := archive.MakePlan(listing.Entries, has, c.target)
	if err != nil {
		return result, err
	}
	state, err := reach(ctx, a, plan, source, replayIn{dir: a.Dir(), network: c.network})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	result = restored{Target: c.to, Plan: viewPlan(plan, has), Notes: []string{}}
	return result, c.fill(ctx, state, &result)
}

// inPlace rebuilds the directory's own catalog.
func (c *snapshotRestore) inPlace(ctx context.Context, dir string) (restored, error) {
	if c.events != "" {
		return restored{}, withCode(exitUsage, errors.New("in-place takes events from the directory's own log; what comes after them is followed, or applied"))
	}
	way, err := eventlog.RestoreTo(ctx, eventlog.Config{Dir: dir, Network: c.network}, c.target)
	return restored{Target: dir, Plan: viewPlan(way, archive.Range{}), Phases: []restorePhase{}, Notes: []string{}}, err
}

// history opens where events come from, and says which are there.
func (c *snapshotRestore) history(ctx context.Context, dir string) (event.Source, archive.Range, error) {
	if c.events == "" {
		l, err := eventlog.OpenLog(dir, time.Second)
		if errors.Is(err, eventlog.ErrLocked) {
			err = fmt.Errorf("%w; give --events to take them from elsewhere", err)
		}
		if err != nil {
			return nil, archive.Range{}, err
		}
		return l, l.Range(), nil
	}
	follow := followConfig{Events: c.events, Network: c.network}
	source, err := follow.source()
	if err != nil {
		return nil, archive.Range{}, withCode(exitConfig, err)
	}
	has, err := rangeOf(ctx, source)
	if err != nil {
		return nil, has, errors.Join(err, source.Close())
	}
	return source, has, nil
}

// rangeOf asks a source which events it has.
func rangeOf(ctx context.Context, source event.Source) (archive.Range, error) {
	first := uint64(1)
	_, tip, err := source.Read(ctx, 0, 1)
	var missing *event.MissingError
	if errors.As(err, &missing) && missing.Found > 1 {
		first = missing.Found
		_, tip, err = source.Read(ctx, first-1, 1)
	}
	if err != nil || tip < first {
		return archive.Range{}, err
	}
	return archive.Range{First: first, Last: tip}, nil
}

// fill makes the target hold the state.
func (c *snapshotRestore) fill(ctx context.Context, s snapshot.State, into *restored) error {
	switch {
	case isPostgres(c.to):
		into.Target = "Postgres, schema " + c.schema
		r, err := postgres.Restore(ctx, c.to, s, postgres.Config{Schema: c.schema})
		if err != nil {
			return err
		}
		into.Bound, into.Phases = &r.Bound, phases(r.Prepare, r.Load, r.Durable)
		for _, kept := range r.Kept {
			into.Notes = append(into.Notes, "kept "+kept)
		}
		return nil
	case strings.HasSuffix(c.to, ".rsnap"):
		w, err := snapshot.Write(ctx, c.to, s, snapshot.Options{})
		if err != nil {
			return err
		}
		into.Bound, into.Phases = &w.Bound, []restorePhase{}
		return nil
	case strings.HasSuffix(c.to, ".db"):
		r, err := boltdb.Restore(ctx, s, c.to, boltdb.Config{})
		if err != nil {
			return err
		}
		into.Bound, into.Phases = &r.Bound, phases(r.Prepare, r.Load, r.Durable)
		return nil
	}
	return withCode(exitUsage, fmt.Errorf("--to %s: want FILE.db, postgres://..., FILE.rsnap or in-place", c.to))
}

func phases(prepare, load, durable time.Duration) []restorePhase {
	return []restorePhase{{"prepare", prepare}, {"load", load}, {"durable", durable}}
}

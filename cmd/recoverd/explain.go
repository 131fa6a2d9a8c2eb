package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// explainVerb are the flags of `recoverd explain`.
type explainVerb struct {
	daemonVerb
	catalog string
}

// explanation is all that is known about one blob, and who says it.
type explanation struct {
	Running bool `json:"running"` // a daemon answered; otherwise it is from what was saved, as of At
	statusapi.BlobView
	inUse bool // a process holds the directory and does not answer

}

func newExplainCommand() *cobra.Command {
	v := &explainVerb{}
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Say where one blob stands, why, whom it was asked of, and what to do",
		Long: `Say all that is known about one blob: its state and why, whether it is certified
(and by which state of the catalog), which shards hold it and whether it is stored
there, how each try ended and what each peer answered, and what to do next.

Without a daemon, say what was saved, and with --catalog what that file says. Tries
and the answers of peers are the running daemon's memory, and are not saved.

ID is 64 hex digits or 43 characters of URL-safe base64.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			e, err := v.find(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if v.output == "json" {
				return writeIndented(cmd.OutOrStdout(), e)
			}
			return writeExplanation(cmd.OutOrStdout(), e)
		},
	}
	v.register(cmd)
	cmd.Flags().StringVar(&v.catalog, "catalog", "", "catalog to look into while no daemon runs (or "+envName("catalog")+")")
	return cmd
}

func (v *explainVerb) find(ctx context.Context, id recovery.BlobID) (e explanation, err error) {
	err = v.askOr(ctx, func(client *statusapi.Client) error {
		e.Running = true
		e.BlobView, err = client.Explain(ctx, id)
		return err
	}, func(saved checkpoint.Description) error {
		path := v.catalog
		if path == "" {
			path = os.Getenv(envName("catalog"))
		}
		e = explainSaved(saved, id, lookInto(ctx, path, saved, id))
		return ctx.Err()
	})
	return e, err
}

// glance is what a catalog says of one blob.
type glance struct {
	stamp *recovery.Stamp
	row   *recovery.Row // nil: not certified
	err   error         // nothing is known
}

var errNoCatalog = errors.New("no catalog was given to look into: --catalog FILE")

// lookInto asks a catalog, which is proven first unless the saved progress was made
// with it.
func lookInto(ctx context.Context, path string, saved checkpoint.Description, id recovery.BlobID) (g glance) {
	if path == "" {
		return glance{err: errNoCatalog}
	}
	source, err := openAtRest(ctx, path, saved)
	if err != nil {
		return glance{err: err}
	}
	defer func() { _ = source.Close() }() // only read
	if _, err := source.Pin(ctx); err != nil {
		return glance{err: err}
	}
	stamp, rows, err := source.Lookup(ctx, []recovery.BlobID{id})
	if err != nil {
		return glance{err: err}
	}
	g.stamp = &stamp
	if len(rows) > 0 {
		g.row = &rows[0]
	}
	return g
}

// openAtRest opens a catalog for the placement that the saved progress was made with.
func openAtRest(ctx context.Context, path string, saved checkpoint.Description) (scannable, error) {
	cfg := &runConfig{Catalog: path, StateDir: saved.Dir, Placement: shards.Hashed.String()}
	if p := saved.Record.Progress; p != nil {
		cfg.Placement = p.Fence.Placement.String()
	}
	if isPostgres(path) {
		return openPostgres(cfg)
	}
	return openFile(ctx, cfg)
}

// explainSaved explains from what was saved and from a catalog. What only a daemon
// can know stays null.
func explainSaved(saved checkpoint.Description, id recovery.BlobID, g glance) explanation {
	e := explanation{inUse: saved.InUse}
	e.BlobView.Explanation = worker.Explanation{ID: id, Shards: []worker.ExplainedShard{}, Tries: []worker.Try{}, Liars: []string{}}
	p := saved.Record.Progress
	if p == nil {
		p = &recovery.Progress{}
	}
	s := standingOf(p, id)
	e.At = p.SavedAt
	if p.Run != 0 {
		e.OwnershipEpoch = &p.Epoch
		for _, shard := range s.Placement.Holders(nil, id, s.Covers.Total, shards.Range(0, s.Covers.Total-1)) {
			e.Shards = append(e.Shards, worker.ExplainedShard{Shard: shard, Owned: s.Covers.Owned.Contains(shard)})
		}
	}
	e.certification(s, g)
	if s.Entry != nil {
		entry := statusapi.NewUnsettledPage([]recovery.Unsettled{*s.Entry}, nil, 0).Unsettled[0]
		e.Entry = &entry
	}
	e.State, e.Why = savedState(saved, s, id, g)
	return e
}

// standingOf is where a blob stands in saved progress.
func standingOf(p *recovery.Progress, id recovery.BlobID) recovery.Standing {
	s := recovery.Standing{
		Run: p.Run, Epoch: p.Epoch, Covered: p.Covered, Bound: p.Bound, Scan: p.Scan,
		Covers: recovery.Covers{Total: p.Fence.TotalShards, Owned: p.Fence.Owned}, Placement: p.Fence.Placement,
	}
	if i := slices.IndexFunc(p.Unsettled, func(u recovery.Unsettled) bool { return u.ID == id }); i >= 0 {
		s.Entry = &p.Unsettled[i]
	}
	return s
}

// certification takes over what the catalog says, if it is not older than what the
// progress was made with (I8).
func (e *explanation) certification(s recovery.Standing, g glance) {
	e.Stamp = g.stamp
	if err := unusable(s, g); err != nil {
		e.CertifiedError = hideSecrets(err.Error())
		return
	}
	certified := g.row != nil
	e.Certified = &certified
	if !certified {
		return
	}
	e.Row = &worker.ExplainedRow{
		Encoding: g.row.Encoding.String(), CertifiedEpoch: g.row.CertifiedEpoch, Gained: g.row.Gained, Expired: g.row.EndEpoch <= s.Epoch,
	}
	if g.row.Size != recovery.SizeUnknown {
		e.Row.Size = &g.row.Size
	}
	if g.row.EndEpoch != recovery.EpochForever {
		e.Row.EndEpoch = &g.row.EndEpoch
	}
}

// unusable says why a catalog's answer tells nothing about a blob, or returns nil.
func unusable(s recovery.Standing, g glance) error {
	switch {
	case g.err != nil:
		return g.err
	case s.Run != 0 && !g.stamp.Reaches(s.Bound):
		return fmt.Errorf("the catalog given is at position %d of %q, the saved progress is of %s", g.stamp.Position, g.stamp.Network, s.Bound)
	}
	return nil
}

// savedState says in a word and in a sentence what was saved. What it says is of
// that time.
func savedState(saved checkpoint.Description, s recovery.Standing, id recovery.BlobID, g glance) (state, why string) {
	err := unusable(s, g)
	switch {
	case s.Entry != nil:
		return s.Entry.State.String(), "it was in the list of unsettled blobs; a start takes these up first"
	case s.Run == 0:
		return "unknown", "no progress was saved here: no run has looked at it"
	case !s.Placement.Concerns(id, s.Covers.Total, s.Covers.Owned):
		return "not_owned", "none of the shards that this node owned holds a piece of it"
	case saved.List != checkpoint.ListWhole:
		return "unknown", fmt.Sprintf("%s; which they are this copy does not say (its list is %s)", be(saved.Entries, "blob")+" unsettled", saved.List)
	case err != nil:
		return "unknown", "whether it is certified is not known: " + hideSecrets(err.Error())
	case g.row == nil:
		return "not_certified", fmt.Sprintf("no live certification at position %d: there is nothing to do", g.stamp.Position)
	case g.row.EndEpoch <= s.Epoch:
		return "expired", fmt.Sprintf("it was kept until epoch %d, and it was epoch %d: there is nothing to do", g.row.EndEpoch, s.Epoch)
	case s.Settled(*g.row):
		return "settled", "it was settled; whether it is still stored, a daemon would look"
	case !g.row.Within(s.Bound):
		return "not_reached", fmt.Sprintf("its certification is newer than the pass that was under way, up to position %d", s.Bound.Position)
	}
	return "not_reached", "the pass that was under way had not come to it"
}

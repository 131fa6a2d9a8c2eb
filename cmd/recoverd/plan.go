package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

func newPlanCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "plan [flags of run]",
		Short: "Say what a run would do and how much it would fetch; nothing is changed",
		Long: `Take the same flags, environment and --config as "recoverd run", and say what it
would make of saved progress, what it would look at, and how much it would fetch:
counted, by merging the catalog with the store's listings. Nothing is changed, locked
or asked of peers, and a daemon may be running: then it is as of its last save. A
catalog that follows events is taken from its newest snapshots.

Of a striped blob the missing pieces of the owned shards and the manifest are counted.
Where the store has no manifest at all that says how many pieces rebuild a blob,
their sizes are between two bounds.

What a run cannot fetch, or finds different once it looks, is not foreseen.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			s, err := readSettings(givenOfRun(cmd), os.Environ())
			if err != nil {
				return err
			}
			if s.cfg.Ownership == "" || s.cfg.Store == "" || s.cfg.Catalog == "" && s.cfg.StateDir == "" {
				return withCode(exitUsage, errors.New("--ownership, --store and --catalog are required; a state directory with a followed catalog does for the last"))
			}
			p, err := planRun(cmd.Context(), s.cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), p)
			}
			return p.write(cmd.OutOrStdout())
		},
	}
	new(runConfig).register(cmd.Flags())
	outputFlag(cmd, &output)
	return cmd
}

// tally counts blobs and their known sizes.
type tally struct {
	Blobs uint64 `json:"blobs"`
	Bytes uint64 `json:"bytes"`
}

func (t *tally) add(size int64) {
	t.Blobs++
	t.Bytes += uint64(max(size, 0))
}

func (t tally) String() string { return fmt.Sprintf("%s (%s)", plural(t.Blobs, "blob"), size(t.Bytes)) }

// runPlan is what a run would do.
type runPlan struct {
	Ownership shards.Ownership `json:"ownership"`
	Catalog   recovery.Bound   `json:"catalog"`
	// Notes say what the catalog leaves out, and that a daemon is at work.
	Notes []string `json:"notes"`
	// Waits says why a run would do nothing yet; empty: it would begin.
	Waits string `json:"waits"`
	// Origin is what becomes of saved progress, null where that cannot be known;
	// Covered and Bound are the pair that goes on from it.
	Origin  *recovery.Origin `json:"origin"`
	Covered *recovery.Bound  `json:"covered"`
	Bound   *recovery.Bound  `json:"bound"`
	// Unsettled are looked at first. Gone of them are not certified any more.
	Unsettled int         `json:"unsettled"`
	Gone      int         `json:"gone"`
	Counts    *planCounts `json:"counts"` // null where Origin is
}

// planCounts counts the certified blobs of the owned shards. Every one is in just one
// of the others.
type planCounts struct {
	Certified tally `json:"certified"`
	// Covered were settled by passes that are finished, Passed by the one that goes
	// on: neither is looked at again.
	Covered tally      `json:"covered"`
	Passed  tally      `json:"passed"`
	Expired tally      `json:"expired"`
	Stored  tally      `json:"stored"` // looked at, and there already
	Fetch   fetchTally `json:"fetch"`
}

func (p *runPlan) write(out io.Writer) error {
	var t table
	t.row("ownership", "%s of %s, epoch %d, node %s", p.Ownership.Owned, plural(p.Ownership.TotalShards, "shard"), p.Ownership.Epoch, p.Ownership.Node)
	t.row("catalog", "%s", p.Catalog)
	for _, note := range p.Notes {
		t.row("", "%s", note)
	}
	if p.Origin != nil {
		t.row("progress", "%s", originText(*p.Origin))
	}
	if p.Unsettled > 0 {
		t.row("unsettled", "%s of earlier tries, looked at first", plural(p.Unsettled, "blob"))
	}
	if p.Gone > 0 {
		t.row("", "%d of them are not certified any more", p.Gone)
	}
	if c := p.Counts; c != nil {
		t.row("certified", "%s on owned shards", c.Certified)
		for _, line := range []struct {
			label, says string
			tally
		}{
			{"covered", "settled by finished passes, not looked at again", c.Covered},
			{"passed", "settled by the pass that goes on, not looked at again", c.Passed},
			{"expired", "need not be stored any more", c.Expired},
			{"stored", "are there already", c.Stored},
		} {
			if line.Blobs > 0 {
				t.row(line.label, "%s: %s", line.tally, line.says)
			}
		}
		t.row("to fetch", "%s", c.Fetch)
	}
	if p.Waits != "" {
		t.row("but", "a run would wait: %s", p.Waits)
	}
	return t.write(out, 0)
}

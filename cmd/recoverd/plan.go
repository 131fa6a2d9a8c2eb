package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider/file"
	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

func newPlanCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "plan [flags of run]",
		Short: "Say what a run would do and how much it would fetch; nothing is changed",
		Long: `Take the same flags, environment and --config as "recoverd run", and say what it
would make of saved progress, what it would look at, and how much it would fetch:
counted, by merging the catalog with the store's listings. Nothing is changed, locked
or asked of peers, and a daemon may be running. A catalog that follows events is taken
from its newest snapshots.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			s, err := readSettings(givenOfRun(cmd), os.Environ())
			if err != nil {
				return err
			}
			if s.cfg.Ownership == "" || s.cfg.Store == "" {
				return withCode(exitUsage, errors.New("--ownership and --store are required, and --catalog or a state directory with a followed catalog"))
			}
			p, err := planRun(cmd.Context(), s.cfg)
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

// runPlan is what a run would do. Every blob of the owned shards is in exactly one of
// Behind, Expired, Stored and Fetch.
type runPlan struct {
	Ownership shards.Ownership `json:"ownership"`
	Catalog   recovery.Bound   `json:"catalog"`
	Origin    recovery.Origin  `json:"origin"`    // what becomes of saved progress
	Unsettled int              `json:"unsettled"` // of it, that are looked at first
	Certified tally            `json:"certified"` // on owned shards
	// Behind are not looked at again: earlier passes, or this one up to the scan
	// position, settled them.
	Behind  tally  `json:"behind"`
	Expired tally  `json:"expired"` // by the ownership's epoch
	Stored  tally  `json:"stored"`  // looked at, and there already
	Fetch   tally  `json:"fetch"`
	Note    string `json:"note"` // what the catalog leaves out, or ""
}

func planRun(ctx context.Context, cfg *runConfig) (p runPlan, err error) {
	if p.Ownership, err = file.Load(cfg.Ownership); err != nil {
		return p, withCode(exitConfig, fmt.Errorf("ownership: %w", err))
	}
	r, err := openReading(ctx, cfg)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	p.Catalog, p.Note = r.tip.Bound, r.note
	saved, err := progressOf(cfg.StateDir)
	if err != nil {
		return p, err
	}
	next, err := recovery.Preview(saved, p.Ownership, shards.Hashed, r.tip)
	if err != nil {
		return p, withCode(exitConfig, err)
	}
	p.Origin, p.Unsettled = next.Origin, len(next.Unsettled)
	marker, err := openMarking(ctx, cfg.Store, r.tip.Network, p.Ownership)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, marker.Close()) }()
	return p, p.count(ctx, r, newLook(next, p.Ownership.Epoch, r.tip.Epoch), marker)
}

// progressOf reads what a run would resume from, as well as that can be done while
// a daemon may be writing it.
func progressOf(dir string) (*recovery.Progress, error) {
	if dir == "" {
		return nil, nil
	}
	d, err := checkpoint.Describe(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return d.Record.Progress, err
}

// look is what a run looks at, given what it goes on from (I7): beyond the scan
// position what the recorded pass covers, and everything that was gained after it.
type look struct {
	next   recovery.Progress
	epoch  uint32
	listed map[recovery.BlobID]bool
}

func newLook(next recovery.Progress, epochs ...uint32) look {
	l := look{next: next, listed: map[recovery.BlobID]bool{}}
	for _, e := range epochs {
		l.epoch = max(l.epoch, e)
	}
	for _, u := range next.Unsettled {
		l.listed[u.ID] = true
	}
	return l
}

func (l look) at(row *recovery.Row) bool {
	after := func(b recovery.Bound) bool { return row.Gained > b.Position || row.CertifiedEpoch > b.Epoch }
	inPass := !l.next.Scan.Covers(row.ID) && (l.next.Covered == nil || after(*l.next.Covered))
	return l.listed[row.ID] || inPass || after(l.next.Bound)
}

// marking tells which blobs are stored, without the store's lock.
type marking struct {
	reader    *storefs.Reader // nil: there is no store yet
	inventory *storefs.Inventory
}

func openMarking(ctx context.Context, root, network string, own shards.Ownership) (*marking, error) {
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return &marking{}, nil
	}
	reader, err := storefs.OpenReader(ctx, root)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	inventory, err := reader.Inventory(storefs.Config{Root: root}, recovery.StoreRequest{
		Network: network, TotalShards: own.TotalShards, Placement: shards.Hashed, Owned: own.Owned,
	})
	if err != nil {
		return nil, errors.Join(withCode(exitConfig, err), reader.Close())
	}
	return &marking{reader, inventory}, nil
}

func (m *marking) mark(ctx context.Context, rows []recovery.Row) error {
	if m.inventory == nil {
		return nil
	}
	return m.inventory.Mark(ctx, rows)
}

func (m *marking) Close() error {
	if m.reader == nil {
		return nil
	}
	return m.reader.Close()
}

// planRows is how many rows are looked for in the store at once.
const planRows = 4_096

// count walks through the catalog once.
func (p *runPlan) count(ctx context.Context, r *reading, l look, stored *marking) error {
	batch := make([]recovery.Row, 0, planRows)
	flush := func() error {
		if err := stored.mark(ctx, batch); err != nil {
			return fmt.Errorf("look into the store: %w", err)
		}
		for i := range batch {
			if batch[i].Stored {
				p.Stored.add(batch[i].Size)
			} else {
				p.Fetch.add(batch[i].Size)
			}
		}
		batch = batch[:0]
		return nil
	}
	for row, err := range r.rows(ctx, recovery.Mark{}) {
		switch {
		case err != nil:
			return fmt.Errorf("read the catalog: %w", err)
		case !shards.Hashed.Concerns(row.ID, p.Ownership.TotalShards, p.Ownership.Owned):
			continue
		}
		p.Certified.add(row.Size)
		switch {
		case !l.at(&row):
			p.Behind.add(row.Size)
		case row.EndEpoch <= l.epoch:
			p.Expired.add(row.Size)
		default:
			row.Stored = false
			if batch = append(batch, row); len(batch) == planRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func (p runPlan) write(out io.Writer) error {
	var t table
	t.row("ownership", "%s of %s, epoch %d, node %s", plural(p.Ownership.Owned.Len(), "shard"), count(p.Ownership.TotalShards), p.Ownership.Epoch, p.Ownership.Node)
	t.row("catalog", "%s", p.Catalog)
	if p.Note != "" {
		t.row("", "%s", p.Note)
	}
	t.row("progress", "%s", originText(p.Origin))
	t.row("certified", "%s on owned shards", p.Certified)
	t.row("behind", "%s are settled and not looked at again", p.Behind)
	if p.Expired.Blobs > 0 {
		t.row("expired", "%s", p.Expired)
	}
	t.row("stored", "%s are there already", p.Stored)
	t.row("to fetch", "%s", p.Fetch)
	if p.Unsettled > 0 {
		t.row("unsettled", "%s of earlier tries are looked at first", plural(p.Unsettled, "blob"))
	}
	if p.Ownership.Node != shards.Active {
		t.row("but", "the node is %s: a run waits until it is active", p.Ownership.Node)
	}
	return t.write(out, 0)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
)

// diffConfig says what to compare.
type diffConfig struct {
	A, B  string
	Base  string // for those that are incremental
	Limit uint64
	JSON  bool
}

func newSnapshotDiffCommand() *cobra.Command {
	var cfg diffConfig
	var output string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Name what differs between two snapshots, by table and key",
		Long: `Name what differs between two snapshots of one kind, by table and key: - is only
in A, + only in B, ~ in both with other values. Both are read as streams, with a
few blocks of memory. Two of Walrus must have one layout. An incremental one is
compared as the state that it makes of --base.

Exits with 0 if they hold the same, with 1 if they differ, and with 78 if they
cannot be compared: one is not there, damaged, or of another kind.`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			cfg.A, cfg.B, cfg.JSON = args[0], args[1], output == "json"
			return diffSnapshots(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&cfg.Limit, "limit", 0, "name at most so many differences; 0 is all")
	f.StringVar(&cfg.Base, "base", "", "full snapshot that incremental ones belong to")
	f.StringVarP(&output, "output", "o", "text", "text, or json (one object a line)")
	return cmd
}

// shownChange is one key that two snapshots do not share.
type shownChange struct {
	Table  string         `json:"table"`
	Key    string         `json:"key,omitempty"`    // 64 hex digits: a blob, a pool, or an object of Walrus
	Object string         `json:"object,omitempty"` // of a registration of ours
	Change string         `json:"change"`           // only_a, only_b or both
	A      map[string]any `json:"a"`
	B      map[string]any `json:"b"`
}

// differ prints differences and counts them.
type differ struct {
	cfg   diffConfig
	out   io.Writer
	found uint64
	kinds map[string]uint64
	rows  uint64 // in A
}

var errEnough = errors.New("more differences than were asked for")

// diffSnapshots compares, prints, and ends with the exit code.
func diffSnapshots(ctx context.Context, cfg diffConfig, out io.Writer) error {
	d := &differ{cfg: cfg, out: out, kinds: map[string]uint64{}}
	err := d.run(ctx)
	enough := errors.Is(err, errEnough)
	switch {
	case err != nil && !enough && d.found > 0:
		return withCode(exitConfig, fmt.Errorf("%w; the differences before it may be part of that", err))
	case err != nil && !enough:
		return withCode(exitConfig, err)
	}
	if err := d.conclude(enough); err != nil {
		return err
	}
	if d.found > 0 {
		return &exitError{code: exitFailure} // all is said already
	}
	return nil
}

func (d *differ) conclude(enough bool) error {
	var err error
	switch {
	case d.cfg.JSON:
	case enough:
		_, err = fmt.Fprintf(d.out, "and more (--limit %d)\n", d.cfg.Limit)
	case d.found > 0:
		_, err = fmt.Fprintf(d.out, "%s: %s only in A, %s only in B, %s in both\n", plural(d.found, "difference"),
			count(d.kinds["only_a"]), count(d.kinds["only_b"]), count(d.kinds["both"]))
	default:
		_, err = fmt.Fprintf(d.out, "the same: %s\n", plural(d.rows, "row"))
	}
	return err
}

func (d *differ) run(ctx context.Context) error {
	a, err := findSnapshot(d.cfg.A)
	if err != nil {
		return err
	}
	b, err := findSnapshot(d.cfg.B)
	switch {
	case err != nil:
		return err
	case a.walrus && b.walrus:
		return d.walrus(ctx, a, b)
	case !a.walrus && !b.walrus:
		return d.ours(ctx, a, b)
	case a.walrus:
		a, b = b, a
	}
	return fmt.Errorf("%s is a snapshot of recoverd, %s one of Walrus; compare it with a catalog made of the other (recoverd catalog import)", a.path, b.path)
}

func (d *differ) walrus(ctx context.Context, a, b snapshotFile) error {
	left, err := a.openWalrus()
	if err != nil {
		return err
	}
	defer func() { _ = left.Close() }() // only read
	right, err := b.openWalrus()
	if err != nil {
		return err
	}
	defer func() { _ = right.Close() }() // only read
	if la, lb := left.Header().Layout, right.Header().Layout; la != lb {
		return fmt.Errorf("%s is of layout %v, %s of layout %v; compare catalogs made of them (recoverd catalog import)", a.path, la, b.path, lb)
	}
	if err := d.header(walrusHeaderFields(left.Header()), walrusHeaderFields(right.Header())); err != nil {
		return err
	}
	err = walrus.Diff(ctx, left, right, func(c walrus.Change) error {
		return d.print(shownChange{Table: c.Section.String(), Key: fmt.Sprintf("%x", c.Key)}, entryFields(c.A), entryFields(c.B))
	})
	for _, n := range left.Counts() {
		d.rows += n
	}
	return err
}

func (d *differ) ours(ctx context.Context, a, b snapshotFile) error {
	left, closeLeft, err := d.state(a)
	if err != nil {
		return err
	}
	defer closeLeft()
	right, closeRight, err := d.state(b)
	if err != nil {
		return err
	}
	defer closeRight()
	if err := d.header(headerFields(left.Header()), headerFields(right.Header())); err != nil {
		return err
	}
	counted := &countedState{State: left, rows: &d.rows}
	return snapshot.Diff(ctx, counted, right, func(c snapshot.Change) error {
		named := shownChange{Table: c.Table.String(), Key: fmt.Sprintf("%x", c.Key[:32])}
		if len(c.Key) > 32 {
			named.Object = fmt.Sprintf("%x", c.Key[32:])
		}
		var before, after fields
		if c.Before != nil {
			before = rowFields(c.Before)
		}
		if c.After != nil {
			after = rowFields(c.After)
		}
		return d.print(named, before, after)
	})
}

// state opens one of ours as a state: a full one, or an incremental one over the
// base that was given.
func (d *differ) state(f snapshotFile) (snapshot.State, func(), error) {
	r, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	if r.Header().Kind() == snapshot.Full {
		return r, func() { _ = r.Close() }, nil // only read
	}
	over, base, err := d.overlay(f, r)
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	return over, func() { _, _ = r.Close(), base.Close() }, nil // only read
}

func (d *differ) overlay(f snapshotFile, r *snapshot.Reader) (*snapshot.Overlay, *snapshot.Reader, error) {
	if d.cfg.Base == "" {
		return nil, nil, fmt.Errorf("%s is incremental, over position %d: say over which file, with --base", f.path, r.Header().Base.Position)
	}
	base, err := openOurs(d.cfg.Base)
	if err != nil {
		return nil, nil, fmt.Errorf("base: %w", err)
	}
	over, err := snapshot.Over(base, r)
	if err != nil {
		return nil, nil, errors.Join(err, base.Close())
	}
	return over, base, nil
}

// header compares what is said of the whole states.
func (d *differ) header(a, b fields) error {
	if a.differences(b) == "" {
		return nil
	}
	return d.print(shownChange{Table: "header"}, a, b)
}

// print prints one difference; a or b is nil where only the other one has the key.
func (d *differ) print(c shownChange, a, b fields) error {
	if d.cfg.Limit > 0 && d.found == d.cfg.Limit {
		return errEnough
	}
	d.found++
	mark, text := "~", ""
	switch {
	case b == nil:
		c.Change, mark, text = "only_a", "-", a.text()
	case a == nil:
		c.Change, mark, text = "only_b", "+", b.text()
	default:
		c.Change, text = "both", a.differences(b)
	}
	d.kinds[c.Change]++
	if d.cfg.JSON {
		c.A, c.B = a.object(), b.object()
		return json.NewEncoder(d.out).Encode(c)
	}
	where := c.Table
	for _, key := range []string{c.Key, c.Object} {
		if key != "" {
			where += " " + key
		}
	}
	_, err := fmt.Fprintln(d.out, printable(fmt.Sprintf("%s %s: %s", mark, where, text)))
	return err
}

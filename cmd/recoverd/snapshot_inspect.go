package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
)

func newSnapshotInspectCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Print which state a snapshot holds: header, counts, sizes, digest",
		Long: `Print which state a snapshot holds: header, counts, sizes and digest. FILE is one
of recoverd's, of which only both ends are read, or a blob-info snapshot of
Walrus, in either layout, which is read whole. A chunk stands for its whole
snapshot. What is damaged is an error (1).`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			i, err := inspect(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), i)
			}
			return i.write(cmd.OutOrStdout())
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// inspection is what can be said of any snapshot. Rows of Walrus are its entries.
type inspection struct {
	File     string            `json:"file"`
	Chunks   []string          `json:"chunks,omitempty"`
	Kind     string            `json:"kind"`             // full, incremental or walrus
	Layout   string            `json:"layout,omitempty"` // of walrus: a or b
	Bytes    int64             `json:"bytes"`
	Network  string            `json:"network,omitempty"`
	Epoch    uint32            `json:"epoch"`
	Position uint64            `json:"position"`
	Digest   string            `json:"digest"`
	Rows     map[string]uint64 `json:"rows"`

	// Of ours.
	Base           *shownAncestor  `json:"base,omitempty"`
	Ancestors      []shownAncestor `json:"ancestors,omitempty"`
	Certified      *uint64         `json:"certified,omitempty"`
	CertifiedBytes *uint64         `json:"certified_bytes,omitempty"` // of those of known size
	Unsized        *uint64         `json:"unsized,omitempty"`         // certified, of unknown size

	// Of Walrus.
	Event    *shownEvent     `json:"event,omitempty"`
	Previous string          `json:"previous,omitempty"`
	Part     uint32          `json:"part,omitempty"` // from 1
	Parts    uint32          `json:"parts,omitempty"`
	Summary  *walrus.Summary `json:"-"`
}

type shownAncestor struct {
	Position uint64          `json:"position"`
	Digest   recovery.Digest `json:"digest"`
}

type shownEvent struct {
	Transaction string `json:"transaction"` // 64 hex digits
	Sequence    uint64 `json:"sequence"`
}

// String is a transaction and the number of an event in it.
func (e shownEvent) String() string { return fmt.Sprintf("%s:%d", e.Transaction, e.Sequence) }

func showEvent(e walrus.EventID) shownEvent {
	return shownEvent{fmt.Sprintf("%x", e.Transaction), e.Sequence}
}

func inspect(ctx context.Context, path string) (inspection, error) {
	f, err := findSnapshot(path)
	if err != nil {
		return inspection{}, err
	}
	if f.walrus {
		return inspectWalrus(ctx, f)
	}
	r, err := f.open()
	if err != nil {
		return inspection{}, err
	}
	return inspectOurs(f, r), r.Close()
}

func inspectOurs(f snapshotFile, r *snapshot.Reader) inspection {
	h, totals := r.Header(), r.Totals()
	i := inspection{
		File: f.path, Kind: h.Kind().String(), Bytes: r.Size(), Network: h.Network, Epoch: h.Epoch, Position: h.Position,
		Digest: r.Bound().Digest.String(), Rows: map[string]uint64{
			snapshot.Blobs.String(): totals.Rows.Blobs, snapshot.Registrations.String(): totals.Rows.Registrations,
			snapshot.PooledRegistrations.String(): totals.Rows.Pooled, snapshot.Pools.String(): totals.Rows.Pools,
		},
	}
	if len(f.paths) > 1 {
		i.Chunks = f.paths
	}
	if h.Base != nil {
		i.Base = &shownAncestor{h.Base.Position, h.Base.Digest}
	} else {
		i.Certified, i.CertifiedBytes, i.Unsized = &totals.Certified, &totals.CertifiedBytes, &totals.Unsized
	}
	for _, a := range h.Ancestors {
		i.Ancestors = append(i.Ancestors, shownAncestor{a.Position, a.Digest})
	}
	return i
}

func inspectWalrus(ctx context.Context, f snapshotFile) (inspection, error) {
	r, err := f.openWalrus()
	if err != nil {
		return inspection{}, err
	}
	s, err := walrus.Summarize(ctx, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return inspection{}, err
	}
	h := s.Header
	i := inspection{
		File: f.path, Kind: "walrus", Layout: h.Layout.String(), Bytes: s.Size, Epoch: h.Epoch, Position: h.Next,
		Digest: walrusDigest(s.Digest), Rows: map[string]uint64{}, Summary: &s,
	}
	for section, n := range s.Counts {
		i.Rows[walrus.Section(section).String()] = n
	}
	if h.HasEvent {
		e := showEvent(h.Event)
		i.Event = &e
	}
	if h.Layout == walrus.A {
		i.Previous, i.Part, i.Parts = fmt.Sprintf("%x", h.Previous), h.Chunk+1, h.Chunks
	}
	return i, nil
}

// write prints an inspection for people.
func (i inspection) write(out io.Writer) error {
	t := &table{}
	t.row("file", "%s, %s", i.File, size(i.Bytes))
	for n, chunk := range i.Chunks {
		t.row("", "chunk %d of %d: %s", n+1, len(i.Chunks), chunk)
	}
	if i.Summary != nil {
		i.walrus(t)
	} else {
		i.ours(t)
	}
	return t.write(out, 0)
}

func (i inspection) ours(t *table) {
	kind := i.Kind
	if i.Base != nil {
		kind += fmt.Sprintf(", over position %d, digest %v", i.Base.Position, i.Base.Digest)
	}
	t.row("kind", "%s", kind)
	t.row("state", "network %q, epoch %d, position %d", i.Network, i.Epoch, i.Position)
	t.row("digest", "%s", i.Digest)
	if n := len(i.Ancestors); n > 0 {
		last := i.Ancestors[n-1]
		t.row("ancestors", "%s, the newest at position %d, digest %v", count(n), last.Position, last.Digest)
	}
	t.row("rows", "%s", rowsText(i.Rows, snapshot.Blobs, snapshot.Registrations, snapshot.PooledRegistrations, snapshot.Pools))
	if i.Certified != nil {
		t.row("certified", "%s, %s%s", plural(*i.Certified, "blob"), size(*i.CertifiedBytes), unsizedText(*i.Unsized))
	}
}

// rowsText spells the rows of each table.
func rowsText[T fmt.Stringer](rows map[string]uint64, tables ...T) (text string) {
	for n, t := range tables {
		if n > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s", count(rows[t.String()]), t)
	}
	return text
}

func unsizedText(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %s of unknown size", count(n))
}

func (i inspection) walrus(t *table) {
	s := i.Summary
	kind := fmt.Sprintf("blob-info snapshot of Walrus, layout %s", i.Layout)
	if i.Parts > 1 {
		kind += fmt.Sprintf(", part %d of %d", i.Part, i.Parts)
	}
	t.row("kind", "%s", kind)
	t.row("state", "epoch %d, next event %d", i.Epoch, i.Position)
	if i.Event != nil {
		t.row("last event", "%s", i.Event)
	}
	if i.Previous != "" {
		t.row("previous", "blob %s", i.Previous)
	}
	digest := i.Digest
	if i.Layout == walrus.B.String() {
		digest += " (layout b has no checksum: only other nodes' digests tell a flipped bit)"
	}
	t.row("digest", "%s", digest)
	t.row("objects", "%s: %s certified, %s deleted, %s ended, the others not certified", count(s.Counts[walrus.Objects]),
		count(s.CertifiedObjects), count(s.DeletedObjects), count(s.EndedObjects))
	t.row("pooled", "%s: %s certified", count(s.Counts[walrus.PooledObjects]), count(s.CertifiedPooled))
	t.row("pools", "%s: %s ended", count(s.Counts[walrus.Pools]), count(s.EndedPools))
}

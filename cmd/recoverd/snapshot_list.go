package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

func newSnapshotListCommand() *cobra.Command {
	var where snapshotDir
	var output string
	cmd := &cobra.Command{
		Use:   "list (--dir DIR | --state-dir DIR)",
		Short: "List the snapshots of a directory, and what of them can be used",
		Long: `List the snapshots of a directory by their positions. Each is judged by its ends:
complete, incomplete (a chunk is gone), damaged, or unreadable. What is being
written, and what a killed process left, is not a snapshot and only counted.
"recoverd snapshot verify" proves every byte.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			a, err := where.open()
			if err != nil {
				return err
			}
			listing, err := a.List(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), listingDocument(listing))
			}
			return writeListing(cmd.OutOrStdout(), a.Dir(), listing)
		},
	}
	where.register(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// snapshotView is one snapshot in JSON.
type snapshotView struct {
	Name       string           `json:"name"`
	Kind       string           `json:"kind"`
	Base       uint64           `json:"base,omitempty"`
	BaseDigest *recovery.Digest `json:"base_digest,omitempty"`
	Bound      *recovery.Bound  `json:"bound"` // null: its files do not say
	Files      []string         `json:"files"`
	Size       int64            `json:"size"`
	Status     string           `json:"status"`
	Error      string           `json:"error,omitempty"`
}

func viewSnapshot(e archive.Entry) snapshotView {
	v := snapshotView{Name: e.Name.String(), Kind: e.Kind.String(), Base: e.Base, Size: e.Size, Status: string(e.Status)}
	for _, f := range e.Files() {
		v.Files = append(v.Files, f.String())
	}
	if e.Status == archive.Complete {
		v.Bound = &e.Bound
		if e.Base != 0 {
			v.BaseDigest = &e.BaseDigest
		}
	}
	if e.Err != nil {
		v.Error = e.Err.Error()
	}
	return v
}

func viewSnapshots(entries []archive.Entry) []snapshotView {
	views := []snapshotView{}
	for _, e := range entries {
		views = append(views, viewSnapshot(e))
	}
	return views
}

// listingView is a directory of snapshots in JSON.
type listingView struct {
	Snapshots []snapshotView `json:"snapshots"`
	Leftovers []string       `json:"leftovers"` // under way, or left by a killed process
	Others    []string       `json:"others"`    // end as a snapshot does and have no name of one
}

func listingDocument(l archive.Listing) listingView {
	return listingView{
		Snapshots: viewSnapshots(l.Entries), Leftovers: append([]string{}, l.Leftovers...), Others: append([]string{}, l.Others...),
	}
}

func writeListing(out io.Writer, dir string, l archive.Listing) error {
	if len(l.Entries) == 0 {
		if _, err := fmt.Fprintf(out, "there is no snapshot in %s\n", dir); err != nil {
			return err
		}
	}
	var t table
	for _, e := range l.Entries {
		text := fmt.Sprintf("%-11s  %9s", e.Status, size(e.Size))
		if e.Status == archive.Complete {
			text += fmt.Sprintf("  epoch %d of %s", e.Bound.Epoch, e.Bound.Network)
		}
		if n := len(e.Files()); n > 1 {
			text += fmt.Sprintf("  %d chunks", n)
		}
		if e.Err != nil {
			text += "  " + e.Err.Error()
		}
		t.row(e.Name.String(), "%s", text)
	}
	for _, name := range l.Others {
		t.row(name, "not a name that a snapshot has: passed over")
	}
	if err := t.write(out, 0); err != nil {
		return err
	}
	if n := len(l.Leftovers); n > 0 {
		_, err := fmt.Fprintf(out, "%s under way, or left by a killed process; the next start removes what nobody holds\n", plural(n, "file"))
		return err
	}
	return nil
}

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

func newSnapshotVerifyCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Read snapshots again and prove all there is to prove",
		Long: `Read snapshots again and prove all there is to prove: every byte, the order of
keys, counts, totals, digests, and that no registration lacks its blob or pool
(of an incremental one, not the last two: that takes its base). FILE is one of
recoverd's or a blob-info snapshot of Walrus, in either layout. Layout b has no
checksum: its form is proven, and its digest printed. A chunk stands for its
whole snapshot. Exits with 1 if any is damaged or cannot be read, and says where.`,
		Args: minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return verifySnapshots(cmd, args, output == "json")
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// verified is what became of one file.
type verified struct {
	File        string `json:"file"`
	OK          bool   `json:"ok"`
	Error       string `json:"error,omitempty"`
	Offset      *int64 `json:"offset,omitempty"` // of the damage, in bytes
	*inspection        // nil unless OK
}

func verifySnapshots(cmd *cobra.Command, paths []string, asJSON bool) error {
	bad, seen := 0, map[string]bool{}
	for _, path := range paths {
		v, key := verifySnapshot(cmd.Context(), path)
		if seen[key] {
			continue // another chunk of the same snapshot
		}
		seen[key] = true
		if !v.OK {
			bad++
		}
		if err := v.write(cmd.OutOrStdout(), cmd.ErrOrStderr(), asJSON); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %s cannot be trusted", bad, plural(len(seen), "snapshot"))
	}
	return nil
}

// verifySnapshot proves one file, and returns what is the same for all chunks of
// its snapshot.
func verifySnapshot(ctx context.Context, path string) (v verified, key string) {
	var i inspection
	f, err := findSnapshot(path)
	if err == nil && f.walrus {
		i, err = inspectWalrus(ctx, f)
	} else if err == nil {
		i, err = verifyOurs(ctx, f)
	}
	v.File = path
	if err == nil {
		v.OK, v.inspection = true, &i
		return v, f.key()
	}
	v.Error = err.Error()
	var damage *snapshot.CorruptError
	if errors.As(err, &damage) {
		v.Offset = &damage.Offset
	}
	return v, f.key()
}

func verifyOurs(ctx context.Context, f snapshotFile) (inspection, error) {
	r, err := f.open()
	if err != nil {
		return inspection{}, err
	}
	if err = errors.Join(r.Verify(ctx), r.Close()); err != nil {
		return inspection{}, err
	}
	return inspectOurs(f, r), nil
}

func (v verified) write(out, complaints io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(v)
	}
	if !v.OK {
		_, err := fmt.Fprintln(complaints, printable(v.File+": bad: "+v.Error))
		return err
	}
	rows := uint64(0)
	for _, n := range v.Rows {
		rows += n
	}
	what := fmt.Sprintf("%s of network %q", v.Kind, v.Network)
	if v.Kind == "walrus" {
		what = "walrus layout " + v.Layout
	}
	note := ""
	if v.Layout == walrus.B.String() {
		note = "; layout b has no checksum: compare the digest with other nodes'"
	} else if v.Base != nil {
		note = "; registrations without a blob or a pool show only over its base"
	}
	_, err := fmt.Fprintf(out, "%s: good: %s, epoch %d, position %d, %s, digest %s%s\n", printable(v.File), what, v.Epoch, v.Position, plural(rows, "row"), v.Digest, note)
	return err
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func newCatalogCommand() *cobra.Command {
	cmd := newGroup("catalog", "Make and read catalogs of certified blobs")
	cmd.AddCommand(newSynthCommand(), newListCommand(), newCatalogImportCommand(), newCatalogExportCommand(), newCatalogApplyCommand())
	return cmd
}

func newSynthCommand() *cobra.Command {
	cfg := snapshot.SynthConfig{}
	var out string
	cmd := &cobra.Command{
		Use:   "synth --blobs N --seed S --out FILE",
		Short: "Write a catalog of made-up blobs, for tests and measurements",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return withCode(exitUsage, errors.New("--out is required"))
			}
			if err := cfg.Validate(); err != nil {
				return withCode(exitUsage, err)
			}
			bound, err := snapshot.Synth(cmd.Context(), cfg, out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s blobs, %s\n", out, humanize.Comma(int64(cfg.Blobs)), bound)
			return err
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&cfg.Blobs, "blobs", 0, "number of blobs (required)")
	f.Uint64Var(&cfg.Seed, "seed", 1, "the same seed gives the same bytes")
	f.StringVar(&out, "out", "", "catalog file to write (required)")
	return cmd
}

func newListCommand() *cobra.Command {
	var limit uint64
	var after, format string
	cmd := &cobra.Command{
		Use:   "list CATALOG",
		Short: "List the certified blobs of a catalog in id order",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mark := recovery.Mark{}
			if after != "" {
				id, err := recovery.ParseBlobID(after)
				if err != nil {
					return withCode(exitUsage, err)
				}
				mark = recovery.MarkAt(id)
			}
			printRow, err := rowPrinter(format, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			return listCatalog(cmd, args[0], mark, limit, printRow)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&limit, "limit", 0, "list at most so many; 0 is all")
	f.StringVar(&after, "after", "", "begin after this blob id")
	f.StringVarP(&format, "output", "o", "text", "text, or json (one object a line)")
	return cmd
}

// listedRow is the JSON of one row.
type listedRow struct {
	ID             recovery.BlobID `json:"id"`
	Size           *int64          `json:"size"` // bytes; null: unknown
	Encoding       string          `json:"encoding"`
	CertifiedEpoch uint32          `json:"certified_epoch"`
	EndEpoch       *uint32         `json:"end_epoch"` // null: for ever
	Gained         uint64          `json:"gained"`
}

func rowPrinter(format string, out io.Writer) (func(recovery.Row) error, error) {
	switch format {
	case "text":
		return func(r recovery.Row) error {
			size := "unknown"
			if r.Size != recovery.SizeUnknown {
				size = strconv.FormatInt(r.Size, 10)
			}
			_, err := fmt.Fprintln(out, r.ID, size)
			return err
		}, nil
	case "json":
		encoder := json.NewEncoder(out)
		return func(r recovery.Row) error {
			row := listedRow{ID: r.ID, Encoding: r.Encoding.String(), CertifiedEpoch: r.CertifiedEpoch, Gained: r.Gained}
			if r.Size != recovery.SizeUnknown {
				row.Size = &r.Size
			}
			if r.EndEpoch != recovery.EpochForever {
				row.EndEpoch = &r.EndEpoch
			}
			return encoder.Encode(row)
		}, nil
	}
	return nil, withCode(exitUsage, fmt.Errorf("--output %q is not text or json", format))
}

func listCatalog(cmd *cobra.Command, path string, after recovery.Mark, limit uint64, printRow func(recovery.Row) error) (err error) {
	// A reader that cannot be opened says more than a source that waits for a file.
	reader, err := snapshot.Open(path)
	if err != nil {
		return withCode(exitConfig, err)
	}
	if err := reader.Close(); err != nil {
		return err
	}
	source, err := catalog.NewFile(catalog.FileConfig{Path: path})
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if _, err := source.Pin(cmd.Context()); err != nil {
		return withCode(exitConfig, err)
	}
	n := uint64(0)
	for row, err := range catalog.Rows(cmd.Context(), source, after) {
		if err != nil {
			return err
		}
		if n++; limit > 0 && n > limit {
			return nil
		}
		if err := printRow(row); err != nil {
			return err
		}
	}
	return nil
}

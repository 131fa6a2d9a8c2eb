package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
)

func newCatalogExportCommand() *cobra.Command {
	var path, format string
	cmd := &cobra.Command{
		Use:   "export --catalog FILE",
		Short: "Print the certified blobs of a catalog as a list that import reads",
		Long: `Print the certified blobs of a catalog, in id order, as a list that import reads:
ndjson keeps all there is to say of them; ids keeps ids and sizes; sha256sum
keeps ids, and refuses blobs whose id is not the SHA-256 of their bytes.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return withCode(exitUsage, errors.New("--catalog is required"))
			}
			f, err := listing.ParseFormat(format)
			if err != nil || f != listing.NDJSON && f != listing.IDs && f != listing.SHA256Sum {
				return withCode(exitUsage, fmt.Errorf("--format %q is not ndjson, ids or sha256sum", format))
			}
			return exportCatalog(cmd, path, f, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&path, "catalog", "", "catalog file to read (required)")
	cmd.Flags().StringVar(&format, "format", "ndjson", "ndjson, ids or sha256sum")
	return cmd
}

func exportCatalog(cmd *cobra.Command, path string, f listing.Format, out io.Writer) error {
	r, err := openOurs(path)
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer func() { _ = r.Close() }() // only read
	if r.Header().Kind() != snapshot.Full {
		return withCode(exitConfig, fmt.Errorf("%s is incremental, and no catalog by itself", path))
	}
	_, err = listing.Export(cmd.Context(), r, f, out)
	if errors.Is(err, listing.ErrExport) {
		err = withCode(exitConfig, err)
	}
	return err
}

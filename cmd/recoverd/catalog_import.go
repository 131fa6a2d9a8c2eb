package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
)

// catalogImport says what list to make a catalog of.
type catalogImport struct {
	In, Out, Base string
	Format        string
	Network       string
	Epoch         uint32
}

func newCatalogImportCommand() *cobra.Command {
	cfg := catalogImport{}
	var output string
	cmd := &cobra.Command{
		Use:   "import --in FILE --out FILE",
		Short: "Make a catalog of a list of blobs, or of a snapshot of Walrus",
		Long: `Make a catalog of a list of blobs, one a line, or of a blob-info snapshot of
Walrus. Which of these it is follows from the content; what could be two of them,
or changes in the middle, is refused.

  ndjson     {"id":"...","size":1,"certified_epoch":1,"end_epoch":9,"position":7}
             only id must be there; no end_epoch is for ever; also "encoding"
             (raw, striped, walrus) and "digest" (hex, if it is not the id)
  ids        an id (hex, or URL-safe base64) and, if known, its size
  sha256sum  its output, in text or binary mode; sizes are unknown
  oci        sha256: and hex digits, and, if known, the size
  walrus     a blob-info snapshot, in layout a or b; sizes are unknown

The order of lines changes nothing. Without positions all blobs get one, that of
the base + 1; with positions, all lines have one. Over --base a list adds
certifications and makes them longer, and removes nothing; a snapshot of Walrus
is the next state. Without --base and --network the network gets a name that
follows from the content.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.In == "" || cfg.Out == "" {
				return withCode(exitUsage, errors.New("--in and --out are required"))
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			result, err := importCatalog(cmd, cfg)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(shownImport(cfg.Out, result))
			}
			return writeImport(cmd.OutOrStdout(), cmd.ErrOrStderr(), cfg.Out, result)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.In, "in", "", "list to read; - is standard input (required)")
	f.StringVar(&cfg.Out, "out", "", "catalog file to write (required)")
	f.StringVar(&cfg.Base, "base", "", "catalog that the new one goes on from")
	f.StringVar(&cfg.Network, "network", "", "network of the catalog; by default the base's, or a name that follows from the content")
	f.Uint32Var(&cfg.Epoch, "epoch", 0, "epoch of the catalog; by default the base's, or the highest certified_epoch")
	f.StringVar(&cfg.Format, "format", "auto", "auto, ndjson, ids, sha256sum, oci or walrus")
	outputFlag(cmd, &output)
	return cmd
}

func importCatalog(cmd *cobra.Command, cfg catalogImport) (result listing.Result, err error) {
	format, err := listing.ParseFormat(cfg.Format)
	if err != nil {
		return result, withCode(exitUsage, err)
	}
	in, name, closeIn, err := openList(cmd, cfg.In)
	if err != nil {
		return result, withCode(exitConfig, err)
	}
	defer func() { _ = closeIn() }() // only read
	c := listing.Config{Path: name, In: in, Format: format, Out: cfg.Out, Network: cfg.Network, Epoch: cfg.Epoch}
	if cfg.Base != "" {
		base, err := openOurs(cfg.Base)
		if err != nil {
			return result, withCode(exitConfig, fmt.Errorf("base: %w", err))
		}
		defer func() { _ = base.Close() }() // only read
		c.Base = base
	}
	// What a killed import left; a living one holds its own (hazard 49).
	if _, err := snapshot.RemoveLeftovers(filepath.Dir(cfg.Out)); err != nil {
		return result, withCreateCode(err)
	}
	result, err = listing.Import(cmd.Context(), c)
	return result, importCode(err)
}

// openList opens the list; - is standard input.
func openList(cmd *cobra.Command, path string) (in io.Reader, name string, closeIn func() error, err error) {
	if path == "-" {
		return cmd.InOrStdin(), "standard input", func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", nil, err
	}
	return f, path, f.Close, nil
}

// importCode tells content that contradicts something from what failed.
func importCode(err error) error {
	var damage *snapshot.CorruptError
	for _, fact := range []error{listing.ErrImport, walrus.ErrBase, walrus.ErrNotWalrus, walrus.ErrUnsupported, snapshot.ErrRow, snapshot.ErrOrphan} {
		if errors.Is(err, fact) {
			return withCode(exitConfig, err)
		}
	}
	if errors.As(err, &damage) {
		return withCode(exitConfig, err)
	}
	return err
}

// importedCatalog is the JSON of an import.
type importedCatalog struct {
	Catalog      string   `json:"catalog"`
	Format       string   `json:"format"`
	Network      string   `json:"network"`
	Epoch        uint32   `json:"epoch"`
	Position     uint64   `json:"position"`
	Digest       string   `json:"digest"`
	Certified    uint64   `json:"certified"`
	Unsized      uint64   `json:"unsized"`
	Lines        uint64   `json:"lines"`
	Repeated     uint64   `json:"repeated"`
	Added        uint64   `json:"added"`
	Lengthened   uint64   `json:"lengthened"`
	Learned      uint64   `json:"learned"`
	Kept         uint64   `json:"kept"`
	Ended        uint64   `json:"ended"`
	MissingPools []string `json:"missing_pools,omitempty"`
}

func shownImport(out string, r listing.Result) importedCatalog {
	shown := importedCatalog{
		Catalog: out, Format: r.Format.String(), Network: r.Bound.Network, Epoch: r.Bound.Epoch, Position: r.Bound.Position,
		Digest: r.Bound.Digest.String(), Certified: r.Totals.Certified, Unsized: r.Totals.Unsized, Lines: r.Lines, Repeated: r.Repeated,
		Added: r.Added, Lengthened: r.Lengthened, Learned: r.Learned, Kept: r.Kept, Ended: r.Ended,
	}
	for _, p := range r.MissingPools {
		shown.MissingPools = append(shown.MissingPools, p.String())
	}
	return shown
}

// writeImport says what was made, and on complaints what is not as it should be.
func writeImport(out, complaints io.Writer, path string, r listing.Result) error {
	from := fmt.Sprintf("%s of %s: %s new, %s longer, %s known", plural(r.Lines, "line"), r.Format, count(r.Added), count(r.Lengthened), count(r.Kept+r.Learned))
	if r.Format == listing.Walrus {
		from = fmt.Sprintf("%s entries of a Walrus snapshot", count(r.Lines))
	}
	for _, extra := range []struct {
		n    uint64
		what string
	}{{r.Repeated, "repeated"}, {r.Ended, "ended by then and left out"}, {r.Learned, "now of known size"}} {
		if extra.n > 0 {
			from += fmt.Sprintf(", %s %s", count(extra.n), extra.what)
		}
	}
	if r.Totals.Unsized > 0 {
		fmt.Fprintf(complaints, "the size of %s is unknown: recoverd run will refuse the catalog\n", plural(r.Totals.Unsized, "certified blob"))
	}
	if n := len(r.MissingPools); n > 0 {
		fmt.Fprintf(complaints, "%s named, but not in the snapshot, and kept without an end; the first is %v\n", plural(n, "pool"), r.MissingPools[0])
	}
	_, err := fmt.Fprintf(out, "%s certifies %s up to position %d of %s in epoch %d (%s)\n", path, plural(r.Totals.Certified, "blob"),
		r.Bound.Position, r.Bound.Network, r.Bound.Epoch, from)
	return err
}

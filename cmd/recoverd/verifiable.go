package main

import (
	"context"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/shards"
)

// refuseUnverifiable reads a catalog's certified blobs and refuses it for the first one
// that a run with this placement could not keep, or whose bytes nothing here could
// judge: this program brings no Verifier for what has neither a digest nor a manifest
// (DESIGN 8). Such a blob would be tried for ever. Errors wrap
// recovery.ErrMisconfigured, or are those of reading.
func refuseUnverifiable(placement shards.Placement) func(context.Context, catalog.Content) error {
	return func(ctx context.Context, c catalog.Content) error {
		rows := make([]recovery.Row, 256)
		for scan, end := c.Scan(), false; !end; {
			n, last, err := scan.Fill(ctx, rows)
			if err != nil {
				return err
			}
			if err := refuseRows(placement, rows[:n]); err != nil {
				return err
			}
			end = last
		}
		return nil
	}
}

// refuseRows refuses a page for the first such blob.
func refuseRows(placement shards.Placement, rows []recovery.Row) error {
	for i := range rows {
		if why := unverifiable(placement, &rows[i].Blob); why != "" {
			return fmt.Errorf("%w: this catalog cannot be recovered so: blob %v %s", recovery.ErrMisconfigured, rows[i].ID, why)
		}
	}
	return nil
}

// unverifiable says why a blob cannot be kept or judged; empty: it can.
func unverifiable(placement shards.Placement, b *recovery.Blob) string {
	switch {
	case b.Encoding == recovery.Striped && placement != shards.Striped:
		return fmt.Sprintf("is striped, and --placement is %v: it needs --placement striped", placement)
	case b.Encoding == recovery.Raw && placement == shards.Striped:
		return "is whole (raw), and --placement is striped: it needs --placement hashed"
	case b.Encoding != recovery.Raw && b.Encoding != recovery.Striped:
		return fmt.Sprintf("has the encoding %v, which only a host that embeds recoverd with a Verifier of its own can check", b.Encoding)
	case b.Size == recovery.SizeUnknown:
		return "has no known size (a list with sizes gives it one: recoverd catalog import --base)"
	case b.Digest == [32]byte{}:
		return "has no known digest"
	case b.Encoding == recovery.Striped && !b.ContentAddressed():
		return "is striped, and its id is not the digest of its manifest"
	}
	return ""
}

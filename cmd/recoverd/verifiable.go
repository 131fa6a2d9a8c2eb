package main

import (
	"context"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
)

// refuseUnverifiable reads a catalog's certified blobs and refuses it for the
// first one whose bytes nothing here could judge: this program brings no Verifier
// (DESIGN 8). Such a blob would be tried for ever. Errors wrap
// recovery.ErrMisconfigured, or are those of reading.
func refuseUnverifiable(ctx context.Context, c catalog.Content) error {
	rows := make([]recovery.Row, 256)
	for scan, end := c.Scan(), false; !end; {
		n, last, err := scan.Fill(ctx, rows)
		if err != nil {
			return err
		}
		if err := refuseRows(rows[:n]); err != nil {
			return err
		}
		end = last
	}
	return nil
}

// refuseRows refuses a page for the first blob whose bytes nothing here could judge.
func refuseRows(rows []recovery.Row) error {
	for i := range rows {
		if why := unverifiable(&rows[i].Blob); why != "" {
			return fmt.Errorf("%w: this catalog cannot be recovered by this program: blob %v %s", recovery.ErrMisconfigured, rows[i].ID, why)
		}
	}
	return nil
}

// unverifiable says why the bytes of a blob cannot be judged; empty: they can.
func unverifiable(b *recovery.Blob) string {
	switch {
	case b.Encoding != recovery.Raw:
		return fmt.Sprintf("has the encoding %v, which only a host that embeds recoverd with a Verifier of its own can check", b.Encoding)
	case b.Size == recovery.SizeUnknown:
		return "has no known size (a list with sizes gives it one: recoverd catalog import --base)"
	case b.Digest == [32]byte{}:
		return "has no known digest"
	}
	return ""
}

package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/recoverd/recoverd/recovery"
)

// Verify reads the whole file and proves it: the sum over every byte, every
// block's checksum, order and count, the digest, every registration's blob and
// pool, and the totals. It returns a *CorruptError, or the error of reading or
// of ctx.
func (r *Reader) Verify(ctx context.Context) error {
	if err := r.verifySum(ctx); err != nil {
		return err
	}
	if err := r.verifyDigest(ctx); err != nil {
		return err
	}
	if r.head.Base != nil {
		return nil // dangling or not, certified or not: only together with the base
	}
	totals, err := r.count(ctx)
	if err != nil {
		return err
	}
	if totals != r.end.totals {
		return r.d.at(r.size, "the trailer sums up %+v, the tables %+v", r.end.totals, totals)
	}
	return nil
}

// verifySum compares the xxhash64 at the file's end with all that lies before
// it.
func (r *Reader) verifySum(ctx context.Context) error {
	sum, buf := xxhash.New(), make([]byte, 128<<10)
	all := r.size - sumLength
	for at := int64(0); at < all; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := buf[:min(int64(len(buf)), all-at)]
		if err := readFull(r.src, part, at); err != nil {
			return r.d.read(at, "file", err)
		}
		sum.Write(part)
		at += int64(len(part))
	}
	if err := readFull(r.src, buf[:sumLength], all); err != nil {
		return r.d.read(all, "sum", err)
	}
	if binary.BigEndian.Uint64(buf) != sum.Sum64() {
		return r.d.at(all, "the sum over the whole file is wrong")
	}
	if n, err := r.src.ReadAt(buf[:1], r.size); n != 0 {
		return r.d.at(r.size, "the file has grown")
	} else if err != nil && !errors.Is(err, io.EOF) {
		return r.d.read(r.size, "end", err)
	}
	return nil
}

// verifyDigest reads every row of every table.
func (r *Reader) verifyDigest(ctx context.Context) error {
	c := newContentDigest()
	if err := digestTable[Blob](ctx, c, r, Blobs); err != nil {
		return err
	}
	if err := digestTable[Registration](ctx, c, r, Registrations); err != nil {
		return err
	}
	if err := digestTable[Pooled](ctx, c, r, PooledRegistrations); err != nil {
		return err
	}
	if err := digestTable[Pool](ctx, c, r, Pools); err != nil {
		return err
	}
	if got := c.sum(r.head); got != r.end.digest {
		return r.d.at(r.size, "the content's digest is %v, the trailer says %v", got, r.end.digest)
	}
	return nil
}

func digestTable[R any, P Row[R]](ctx context.Context, c *contentDigest, r *Reader, t Table) error {
	cur := newDeltaCursor[R, P](r, t)
	for looked := 0; ; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		row, dropped, err := cur.Next()
		switch {
		case row == nil || err != nil:
			return err
		case dropped:
			c.addDrop(t, P(row).RowKey())
		default:
			add(c, t, P(row))
		}
	}
}

// count adds the totals up from the tables.
func (r *Reader) count(ctx context.Context) (Totals, error) {
	if r.pools == nil {
		if err := r.loadPools(); err != nil {
			return Totals{}, err
		}
	}
	totals := Totals{Rows: r.end.totals.Rows}
	rows := make([]recovery.Row, 256)
	for s := r.Scan(); ; {
		n, end, err := s.Fill(ctx, rows)
		if err != nil {
			return Totals{}, err
		}
		for i := range rows[:n] {
			totals.count(rows[i].Size)
		}
		if end {
			return totals, nil
		}
	}
}

package boltdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/regular"
)

// Reader reads one file. Opening it reads the state's description and the pools,
// however large the rest is; rows are proven as they are read, and Verify proves
// all of them. It is a snapshot.State. A Reader may be used by many goroutines,
// the cursors and scans made from it by one each.
type Reader struct {
	file   *os.File
	size   int64
	pages  *pages
	tables [tableCount]bucket
	state  state
	pools  []snapshot.Pool // by rising id
}

// OpenReader opens the file at path. Errors are a *CorruptError, wrap
// catalog.ErrForeign, or are those of reading.
func OpenReader(path string) (*Reader, error) {
	f, info, err := regular.Open(path)
	switch {
	case errors.Is(err, regular.ErrNot):
		return nil, fmt.Errorf("%w: %w", catalog.ErrForeign, err)
	case err != nil:
		return nil, fmt.Errorf("open: %w", err)
	}
	r := &Reader{file: f, size: info.Size()}
	if err := r.open(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *Reader) open(path string) error {
	err := r.isBolt(path)
	if err != nil {
		return err
	}
	if r.pages, err = openPages(r.file, path, r.size); err != nil {
		return err
	}
	if err := r.describe(path); err != nil {
		return err
	}
	return r.loadPools()
}

// describe reads which state the file holds, and finds its tables.
func (r *Reader) describe(path string) error {
	buckets, err := r.pages.buckets()
	if err != nil {
		return err
	}
	meta, ok := buckets[metaBucket]
	if !ok {
		return fmt.Errorf("%w: %s has no bucket %q: another program's, or a load that was not finished", catalog.ErrForeign, path, metaBucket)
	}
	value, err := r.pages.value(meta, stateKey)
	if err != nil {
		return err
	}
	switch r.state, err = decodeState(value); {
	case errors.Is(err, errVersion):
		return fmt.Errorf("%w: %s has %w", catalog.ErrForeign, path, err)
	case err != nil:
		return r.pages.damage(meta.root, "%v", err)
	}
	for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
		if r.tables[t-1], ok = buckets[t.String()]; !ok {
			return r.pages.damage(r.pages.root, "there is no bucket %q", t)
		}
	}
	return nil
}

func (r *Reader) loadPools() error {
	for c := newCursor[snapshot.Pool](r); ; {
		p, err := c.Next()
		if p == nil || err != nil {
			return err
		}
		if uint64(len(r.pools)) == r.state.Rows[snapshot.Pools.String()] {
			return r.pages.damage(r.tables[snapshot.Pools-1].root, "more pools than %d", len(r.pools))
		}
		r.pools = append(r.pools, *p)
	}
}

// isBolt tells another file from a damaged one.
func (r *Reader) isBolt(path string) error {
	first := make([]byte, pageHeader+4)
	n, err := r.file.ReadAt(first, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read %s: %w", path, err)
	case n < len(first):
		return &CorruptError{Path: path, What: "the file ends inside it"}
	case !hasMagic(first):
		return fmt.Errorf("%w: %s is not a bbolt file", catalog.ErrForeign, path)
	}
	return nil
}

// Close closes the file. No cursor may be in use.
func (r *Reader) Close() error { return r.file.Close() }

// Stat describes the very file that is open.
func (r *Reader) Stat() (os.FileInfo, error) { return r.file.Stat() }

// Size is the file's size in bytes.
func (r *Reader) Size() int64 { return r.size }

// Header says which state it is.
func (r *Reader) Header() snapshot.Header { return r.state.header() }

// Bound names the state.
func (r *Reader) Bound() recovery.Bound { return r.state.summary().Bound }

// Totals sums the state up.
func (r *Reader) Totals() snapshot.Totals { return r.state.summary().Totals }

// Blobs returns a cursor over the blobs table.
func (r *Reader) Blobs() snapshot.Cursor[snapshot.Blob] { return newCursor[snapshot.Blob](r) }

// Registrations returns a cursor over the registrations table.
func (r *Reader) Registrations() snapshot.Cursor[snapshot.Registration] {
	return newCursor[snapshot.Registration](r)
}

// Pooled returns a cursor over the pooled table.
func (r *Reader) Pooled() snapshot.Cursor[snapshot.Pooled] { return newCursor[snapshot.Pooled](r) }

// Pools returns the pools by rising id. The slice is shared and read-only.
func (r *Reader) Pools() []snapshot.Pool { return r.pools }

// Cursors returns seekable cursors over the state.
func (r *Reader) Cursors() snapshot.Cursors {
	return snapshot.Cursors{
		Blobs: newCursor[snapshot.Blob](r), Registrations: newCursor[snapshot.Registration](r), Pooled: newCursor[snapshot.Pooled](r),
	}
}

// Scan returns a scan that begins before the first blob.
func (r *Reader) Scan() *snapshot.Scan {
	return snapshot.NewScan(r.state.Stamp, r.Cursors(), r.pools)
}

// Lookup returns point look-ups in the state.
func (r *Reader) Lookup() *snapshot.Lookup { return snapshot.NewLookup(r.Cursors(), r.pools) }

// Verify reads every row and proves all that the file says of itself. It returns
// a *CorruptError, or the error of reading or of ctx.
func (r *Reader) Verify(ctx context.Context) error {
	found, err := snapshot.SumUp(ctx, r)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, snapshot.ErrOrphan), errors.Is(err, snapshot.ErrOrder), errors.Is(err, snapshot.ErrRow):
		return r.pages.damage(r.pages.root, "%v", err)
	case err != nil:
		return err
	case found != r.state.summary():
		return r.pages.damage(r.pages.root, "its rows come to %+v, it says %+v", found, r.state.summary())
	}
	return nil
}

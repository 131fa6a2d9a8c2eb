package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/recoverd/recoverd/recovery"
)

// MaxPools bounds the pools of a state. A reader keeps them in memory, about
// 12 MiB at most.
const MaxPools = 1 << 18

// Reader reads one snapshot file in place. Opening reads the header, the
// index, the trailer and the pools, however large the rest is; blocks are
// proven as they are read, and Verify proves everything. A Reader may be used
// by many goroutines; the cursors and scans made from it may not be shared.
type Reader struct {
	d     damage
	src   io.ReaderAt
	file  *os.File // nil if the reader does not own one
	size  int64
	head  Header
	index index
	end   trailer
	pools []Pool // by rising id
}

// Open opens the file at path. Errors wrap ErrNotSnapshot or ErrUnsupported,
// are a *CorruptError, or are those of reading.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	r, err := openFile(path, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func openFile(path string, f *os.File) (*Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrNotSnapshot, path)
	}
	r, err := NewReader(path, f, info.Size())
	if err != nil {
		return nil, err
	}
	r.file = f
	return r, nil
}

// NewReader reads a snapshot of size bytes from src, which must not change.
// name stands for it in errors. The caller keeps ownership of src.
func NewReader(name string, src io.ReaderAt, size int64) (*Reader, error) {
	r := &Reader{d: damage{name}, src: src, size: size}
	var headerLen int64
	var err error
	if r.head, headerLen, err = readHeader(src, size, r.d); err != nil {
		return nil, err
	}
	if r.end, err = readTrailer(src, r.head.Kind(), headerLen, size, r.d); err != nil {
		return nil, err
	}
	r.index, err = readIndex(src, headerLen, r.end.indexOffset, r.end.indexLength, r.end.totals.Rows, r.d)
	if err != nil {
		return nil, err
	}
	if r.head.Base != nil {
		return r, nil
	}
	return r, r.loadPools()
}

// loadPools reads the pools table, which the trailer has bounded.
func (r *Reader) loadPools() error {
	r.pools = make([]Pool, 0, r.end.totals.Rows.Pools)
	for c := newCursor[Pool](r, Pools); ; {
		p, err := c.Next()
		if p == nil || err != nil {
			return err
		}
		r.pools = append(r.pools, *p)
	}
}

// Close closes the file. No cursor may be in use.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Stat describes the very file that is open; ErrClosed if the reader owns none.
func (r *Reader) Stat() (os.FileInfo, error) {
	if r.file == nil {
		return nil, ErrClosed
	}
	return r.file.Stat()
}

// Path is where the snapshot was opened.
func (r *Reader) Path() string { return r.d.path }

// Size is the file's size in bytes.
func (r *Reader) Size() int64 { return r.size }

// Header says which state it is.
func (r *Reader) Header() Header { return r.head }

// Totals sums the state up, as the trailer does.
func (r *Reader) Totals() Totals { return r.end.totals }

// Bound names the state.
func (r *Reader) Bound() recovery.Bound {
	return recovery.Bound{Stamp: r.head.Stamp, Digest: r.end.digest}
}

// Blobs implements State. The cursors of an incremental snapshot yield only an
// error that wraps ErrKind: it is no state by itself.
func (r *Reader) Blobs() Cursor[Blob] { return newCursor[Blob](r, Blobs) }

// Registrations implements State; see Blobs.
func (r *Reader) Registrations() Cursor[Registration] {
	return newCursor[Registration](r, Registrations)
}

// Pooled implements State; see Blobs.
func (r *Reader) Pooled() Cursor[Pooled] { return newCursor[Pooled](r, PooledRegistrations) }

// Pools implements State. An incremental snapshot has none.
func (r *Reader) Pools() []Pool { return r.pools }

// Cursors returns seekable cursors over the tables; see Blobs.
func (r *Reader) Cursors() Cursors {
	return Cursors{
		Blobs: newCursor[Blob](r, Blobs), Registrations: newCursor[Registration](r, Registrations),
		Pooled: newCursor[Pooled](r, PooledRegistrations),
	}
}

// Lookup returns point look-ups in a full snapshot; see Blobs.
func (r *Reader) Lookup() *Lookup { return NewLookup(r.Cursors(), r.pools) }

// BlobDeltas returns what an incremental snapshot changes in the blobs table. In
// a full one that is every row.
func (r *Reader) BlobDeltas() DeltaCursor[Blob] { return newDeltaCursor[Blob](r, Blobs) }

// RegistrationDeltas is BlobDeltas for the registrations table.
func (r *Reader) RegistrationDeltas() DeltaCursor[Registration] {
	return newDeltaCursor[Registration](r, Registrations)
}

// PooledDeltas is BlobDeltas for the pooled table.
func (r *Reader) PooledDeltas() DeltaCursor[Pooled] {
	return newDeltaCursor[Pooled](r, PooledRegistrations)
}

// PoolDeltas is BlobDeltas for the pools table.
func (r *Reader) PoolDeltas() DeltaCursor[Pool] { return newDeltaCursor[Pool](r, Pools) }

// findPool looks a pool up in a list by rising id.
func findPool(pools []Pool, id PoolID) *Pool {
	i := lowerBound(pools, id[:])
	if i < len(pools) && pools[i].ID == id {
		return &pools[i]
	}
	return nil
}

// lowerBound returns the first of some rows, by rising keys, whose key begins
// with prefix or more.
func lowerBound[R any, P Row[R]](rows []R, prefix []byte) int {
	return sort.Search(len(rows), func(i int) bool { return bytes.Compare(P(&rows[i]).RowKey()[:32], prefix) >= 0 })
}

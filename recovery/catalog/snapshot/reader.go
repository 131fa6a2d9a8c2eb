package snapshot

import (
	"bytes"
	"io"
	"os"
	"sort"

	"github.com/recoverd/recoverd/recovery"
)

// MaxPools bounds the pools of a state. A reader keeps them in memory, about
// 12 MiB at most.
const MaxPools = 1 << 18

// Reader reads one snapshot in place. Opening reads header, index, trailer and
// the pools, however large the rest is; blocks are proven as they are read, and
// Verify proves everything. A Reader may be used by many goroutines; the cursors,
// look-ups and scans made from it may not be shared.
type Reader struct {
	d       damage    // of the first file
	sources []*source // in chunk order
	head    Header
	index   index   // of all files
	end     trailer // of the whole snapshot; places are those of the first file
	pools   []Pool  // by rising id
}

// Open opens the whole snapshot at path. Errors wrap ErrNotSnapshot,
// ErrUnsupported, or ErrChunk where it is only a part, are a *CorruptError, or
// are those of reading.
func Open(path string) (*Reader, error) { return OpenSet(path) }

// NewReader reads a snapshot of size bytes from src, which must not change.
// name stands for it in errors. The caller keeps ownership of src.
func NewReader(name string, src io.ReaderAt, size int64) (*Reader, error) {
	s, err := readEnds(name, src, size)
	if err == nil {
		err = s.readIndex()
	}
	if err != nil {
		return nil, err
	}
	return newReader([]*source{s})
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

// Close closes the files. No cursor may be in use.
func (r *Reader) Close() error { return closeSources(r.sources) }

// Stat describes the very file that is open, the first of several; ErrClosed if
// the reader owns none.
func (r *Reader) Stat() (os.FileInfo, error) {
	if r.sources[0].file == nil {
		return nil, ErrClosed
	}
	return r.sources[0].file.Stat()
}

// Path is where the snapshot was opened; of several chunks, the first one.
func (r *Reader) Path() string { return r.d.path }

// Size is the size of all files, in bytes.
func (r *Reader) Size() (n int64) {
	for _, s := range r.sources {
		n += s.size
	}
	return n
}

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

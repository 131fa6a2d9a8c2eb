package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/recoverd/recoverd/recovery"
)

// Writer writes one snapshot file. Rows are given table by table, in the order
// blobs, registrations, pooled, pools, and in strictly increasing key order
// within each. Nothing is visible under the final name before Close returns;
// Abort, or an error, leaves nothing behind. One goroutine uses it at a time.
//
//	w, err := snapshot.Create(path, header)
//	...
//	defer w.Abort() // does nothing after Close
//	...
//	return w.Close()
type Writer struct {
	out    output
	d      damage
	head   Header
	sum    *xxhash.Digest
	offset int64
	index  index
	digest *contentDigest
	result trailer

	table Table // the one being written
	block []byte
	rows  uint32   // in block
	last  [64]byte // key of the last row; a short key's tail is zero
	first [32]byte // of the block's first key
	any   bool     // the table has a row

	err  error // sticks; nothing is committed after it
	done bool
}

// Create begins the snapshot of a state at path. The temporary file lies in the
// same directory. Errors wrap ErrRow where the header is at fault.
func Create(path string, h Header) (*Writer, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	out, err := createPending(path)
	if err != nil {
		return nil, err
	}
	w, err := newWriter(out, path, h)
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

// newWriter always returns a writer that must be aborted or closed.
func newWriter(out output, path string, h Header) (*Writer, error) {
	w := &Writer{
		out: out, d: damage{path}, head: h, sum: xxhash.New(), digest: newContentDigest(),
		table: Blobs, block: make([]byte, blockHeader, blockMax),
	}
	return w, w.write(h.appendTo(nil))
}

// Blob adds a row. Errors wrap ErrOrder, naming both keys, or ErrRow, or are
// those of writing; after one only Abort is useful.
func (w *Writer) Blob(b *Blob) error { return put(w, Blobs, b) }

// Registration adds a row; see Blob.
func (w *Writer) Registration(r *Registration) error { return put(w, Registrations, r) }

// Pooled adds a row; see Blob.
func (w *Writer) Pooled(p *Pooled) error { return put(w, PooledRegistrations, p) }

// Pool adds a row; see Blob. At most MaxPools are accepted.
func (w *Writer) Pool(p *Pool) error {
	if w.digest.counts.Pools >= MaxPools {
		return w.fail(fmt.Errorf("%w: more than %d pools", ErrRow, MaxPools))
	}
	return put(w, Pools, p)
}

// DropBlob, in an incremental snapshot, drops a key that its base has. Errors are
// those of Blob.
func (w *Writer) DropBlob(id recovery.BlobID) error { return w.drop(Blobs, id[:]) }

// DropRegistration drops a key; see DropBlob.
func (w *Writer) DropRegistration(k Key) error { return w.drop(Registrations, k[:]) }

// DropPooled drops a key; see DropBlob.
func (w *Writer) DropPooled(k Key) error { return w.drop(PooledRegistrations, k[:]) }

// DropPool drops a key; see DropBlob.
func (w *Writer) DropPool(id PoolID) error { return w.drop(Pools, id[:]) }

func (w *Writer) drop(t Table, key []byte) error {
	if w.head.Base == nil && w.err == nil && !w.done {
		return w.fail(fmt.Errorf("%w: a full snapshot drops nothing, not %x of %v", ErrRow, key, t))
	}
	shared, err := w.follow(t, key)
	if err != nil {
		return err
	}
	return w.append(w.digest.addDrop(t, key), key, shared)
}

// put adds a row of any table.
func put[R any, P Row[R]](w *Writer, t Table, row P) error {
	key := row.RowKey()
	shared, err := w.follow(t, key)
	if err != nil {
		return err
	}
	if err := row.check(); err != nil {
		return w.fail(err)
	}
	if row.newest() > w.head.Position {
		return w.fail(fmt.Errorf("%w: %x of %v names position %d, beyond the snapshot's %d",
			ErrRow, key, t, row.newest(), w.head.Position))
	}
	return w.append(add(w.digest, t, row), key, shared)
}

// follow checks that a key may come next, and returns how much of it the key
// before it shares.
func (w *Writer) follow(t Table, key []byte) (shared int, err error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case w.done:
		return 0, ErrClosed
	}
	if t != w.table {
		if err := w.enter(t); err != nil {
			return 0, err
		}
	}
	if !w.any {
		return 0, nil
	}
	shared = commonPrefix(w.last[:], key)
	if shared == len(key) || key[shared] < w.last[shared] {
		return 0, w.fail(fmt.Errorf("%w: in %v %x follows %x", ErrOrder, t, key, w.last[:len(key)]))
	}
	return shared, nil
}

// append puts a row into the block, or begins the next block with it.
func (w *Writer) append(plain, key []byte, shared int) error {
	omitted := shared // bytes of the key that the shared prefix saves
	if w.table != Blobs && plain[1]&rowNative != 0 {
		omitted = min(shared, 32)
	}
	if len(w.block)-blockHeader+len(plain)-omitted > blockPayload {
		if err := w.endBlock(); err != nil {
			return err
		}
	}
	if w.rows == 0 {
		shared, omitted = 0, 0
		copy(w.first[:], key)
	}
	w.block = append(w.block, byte(shared), plain[1])
	w.block = append(w.block, plain[2+omitted:]...)
	w.rows++
	copy(w.last[:], key)
	w.any = true
	return nil
}

// enter ends the table being written and begins a later one.
func (w *Writer) enter(t Table) error {
	if t < w.table {
		return w.fail(fmt.Errorf("%w: a row of %v after %v", ErrOrder, t, w.table))
	}
	if err := w.endBlock(); err != nil {
		return err
	}
	w.table, w.any, w.last = t, false, [64]byte{}
	return nil
}

func (w *Writer) endBlock() error {
	if w.rows == 0 {
		return nil
	}
	raw := sealBlock(w.block, w.table, w.rows)
	entry := block{first: w.first, offset: w.offset, length: uint32(len(raw)), rows: w.rows}
	w.index[w.table-1] = append(w.index[w.table-1], entry)
	w.block, w.rows, w.first = w.block[:blockHeader], 0, [32]byte{}
	return w.write(raw)
}

func (w *Writer) write(b []byte) error {
	if _, err := w.out.Write(b); err != nil {
		return w.fail(fmt.Errorf("write snapshot: %w", err))
	}
	w.sum.Write(b)
	w.offset += int64(len(b))
	return nil
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

// Close ends the file and publishes it durably. It reads the tables of a full
// snapshot back, which proves that every registration has its blob and its pool,
// and yields the totals. After an error, an earlier one included, nothing was published,
// except when only flushing the directory failed: then the name may or may not
// survive a power cut.
func (w *Writer) Close() error {
	if w.done {
		return ErrClosed
	}
	if err := w.finish(); err != nil {
		return errors.Join(err, w.Abort())
	}
	w.done = true
	return w.out.Commit()
}

func (w *Writer) finish() error {
	if w.err != nil {
		return w.err
	}
	if err := w.endBlock(); err != nil {
		return err
	}
	totals, err := w.count()
	if err != nil {
		return w.fail(fmt.Errorf("read snapshot back: %w", err))
	}
	raw := w.index.appendTo(nil)
	w.result = trailer{
		indexOffset: w.offset, indexLength: int64(len(raw)), totals: totals, digest: w.digest.sum(w.head),
	}
	if err := w.write(w.result.appendTo(raw)); err != nil {
		return err
	}
	return w.write(binary.BigEndian.AppendUint64(nil, w.sum.Sum64()))
}

// count adds the totals of a full snapshot up; an incremental one has only rows.
func (w *Writer) count() (Totals, error) {
	r := &Reader{d: w.d, src: w.out, head: w.head, index: w.index}
	r.end.totals.Rows = w.digest.counts
	if w.head.Base != nil {
		return r.end.totals, nil
	}
	return r.count(context.Background())
}

// Abort drops the file. It does nothing after Close or another Abort.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	return w.out.Abort()
}

// Bound names the state that was written. It is valid once Close succeeded.
func (w *Writer) Bound() recovery.Bound {
	return recovery.Bound{Stamp: w.head.Stamp, Digest: w.result.digest}
}

// Totals sums the state up. It is valid once Close succeeded.
func (w *Writer) Totals() Totals { return w.result.totals }

package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"path/filepath"

	"github.com/recoverd/recoverd/recovery"
)

// Options say how a snapshot is written.
type Options struct {
	// MaxChunk is the size of a file above which the snapshot is written as
	// several chunks of at most that size, in bytes, at least MinChunk; 0: one
	// file, whatever its size. The digest does not depend on it.
	MaxChunk int64
	// Name returns the name of a file once its content is known, without a
	// directory; the path that was given is the directory then. One content must
	// have one name. Nil: the path is the file's, and chunks get ChunkName beside it.
	Name func(b recovery.Bound, c Chunk) string
	// Progress is called with the rows taken so far, once for each block, by the
	// goroutine that gives the rows. Nil: it is not.
	Progress func(rows uint64)
}

// Validate reports, wrapping ErrRow, a value that makes no sense.
func (o Options) Validate() error {
	if o.MaxChunk != 0 && o.MaxChunk < MinChunk {
		return fmt.Errorf("%w: chunks of %d bytes, want 0 or at least %d", ErrRow, o.MaxChunk, MinChunk)
	}
	return nil
}

// Writer writes one snapshot. Rows are given table by table, in the order blobs,
// registrations, pooled, pools, and in strictly increasing key order within each.
// Nothing is visible under the final name before Close returns; Abort, or an
// error, leaves nothing behind. One goroutine uses it at a time.
//
//	w, err := snapshot.Create(path, header)
//	...
//	defer w.Abort() // does nothing after Close
//	...
//	return w.Close()
type Writer struct {
	to     storage
	name   func(recovery.Bound, Chunk) string
	limit  int64 // of a file; 0: none
	notify func(rows uint64)
	d      damage
	head   Header
	parts  []*part // the last one is under way
	digest *contentDigest
	totals *Totals // if they are known before the end
	result Written

	table   Table // the one being written
	slab    slab
	lengths []byte   // of the rows in the block under way
	rows    uint32   // their number
	taken   uint64   // rows in all, but for the block under way
	pools   int      // rows of the last table
	last    [64]byte // key of the last row; a short key's tail is zero
	first   [32]byte // of the block's first key
	word    uint64   // the first of last
	open    Table    // the one being written, if it has a row and nothing is wrong; else 0

	err  error // sticks; nothing is published after it
	done bool
}

// Create begins the snapshot of a state at path, in one file. The temporary file
// lies in the same directory. Errors wrap ErrRow where the header is at fault.
func Create(path string, h Header) (*Writer, error) { return CreateWith(path, h, Options{}) }

// CreateWith is Create with options.
func CreateWith(path string, h Header, o Options) (*Writer, error) {
	if err := errors.Join(h.Validate(), o.Validate()); err != nil {
		return nil, err
	}
	to := directory{path: filepath.Dir(path), hint: filepath.Base(path)}
	if o.Name != nil {
		to = directory{path: path, hint: h.Kind().String()}
	}
	w, err := newWriter(to, path, h, o)
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

// newWriter always returns a writer that must be aborted or closed.
func newWriter(to storage, path string, h Header, o Options) (*Writer, error) {
	w := &Writer{
		to: to, name: o.Name, limit: o.MaxChunk, notify: o.Progress, d: damage{path}, head: h, digest: newContentDigest(),
		table: Blobs,
	}
	w.slab.begin()
	if w.name == nil {
		w.name = func(_ recovery.Bound, c Chunk) string { return ChunkName(filepath.Base(path), c) }
	}
	return w, w.begin()
}

// begin starts another file.
func (w *Writer) begin() error {
	if len(w.parts) == MaxChunks {
		return w.fail(fmt.Errorf("%w: more than %d chunks of %d bytes (allow larger ones)", ErrChunk, MaxChunks, w.limit))
	}
	p, err := newPart(w.to, w.head)
	if p != nil {
		w.parts = append(w.parts, p)
	}
	if err != nil {
		return w.fail(err)
	}
	return nil
}

// part returns the file under way.
func (w *Writer) part() *part { return w.parts[len(w.parts)-1] }

// Blob adds a row. Errors wrap ErrOrder, naming both keys, or ErrRow, or are
// those of writing; after one only Abort is useful.
func (w *Writer) Blob(b *Blob) error {
	shared, quick := w.after(Blobs, b.ID[:])
	if !quick || !b.fits(w.head.Position) {
		var err error
		if shared, err = w.follow(Blobs, b.ID[:]); err != nil || !b.fits(w.head.Position) {
			return w.refuse(err, b)
		}
	}
	f := b.flags()
	if w.took(b.appendRow(w.slab.buf, shared, f), b.ID[:]) {
		return nil
	}
	return w.next(func(dst []byte) []byte { return b.appendRow(dst, 0, f) }, b.ID[:])
}

// Registration adds a row; see Blob.
func (w *Writer) Registration(r *Registration) error {
	shared, quick := w.after(Registrations, r.Key[:])
	if !quick || !r.fits(w.head.Position) {
		var err error
		if shared, err = w.follow(Registrations, r.Key[:]); err != nil || !r.fits(w.head.Position) {
			return w.refuse(err, r)
		}
	}
	f := r.flags()
	if w.took(r.appendRow(w.slab.buf, shared, f), r.Key[:]) {
		return nil
	}
	return w.next(func(dst []byte) []byte { return r.appendRow(dst, 0, f) }, r.Key[:])
}

// Pooled adds a row; see Blob.
func (w *Writer) Pooled(p *Pooled) error {
	shared, err := w.follow(PooledRegistrations, p.Key[:])
	if err != nil || !p.fits(w.head.Position) {
		return w.refuse(err, p)
	}
	f := p.flags()
	if w.took(p.appendRow(w.slab.buf, shared, f), p.Key[:]) {
		return nil
	}
	return w.next(func(dst []byte) []byte { return p.appendRow(dst, 0, f) }, p.Key[:])
}

// Pool adds a row; see Blob. At most MaxPools are accepted, dropped ones among
// them.
func (w *Writer) Pool(p *Pool) error {
	shared, err := w.follow(Pools, p.ID[:])
	if err == nil {
		err = w.roomForPool()
	}
	if err != nil || !p.fits(w.head.Position) {
		return w.refuse(err, p)
	}
	f := p.flags()
	if w.took(p.appendRow(w.slab.buf, shared, f), p.ID[:]) {
		return nil
	}
	return w.next(func(dst []byte) []byte { return p.appendRow(dst, 0, f) }, p.ID[:])
}

func (w *Writer) roomForPool() error {
	if w.pools++; w.pools > MaxPools {
		return w.fail(fmt.Errorf("%w: more than %d pools", ErrRow, MaxPools))
	}
	return nil
}

// refuse reports why a row cannot be added: err, or what is wrong about it.
func (w *Writer) refuse(err error, row interface {
	Entry
	fits(position uint64) bool
}) error {
	switch {
	case err != nil:
		return err
	case row.fits(math.MaxUint64):
		return w.fail(fmt.Errorf("%w: %x of %v names a position beyond the snapshot's, %d: %+v",
			ErrRow, row.RowKey(), row.Table(), w.head.Position, row))
	}
	return w.fail(fmt.Errorf("%w: %x of %v has values that do not fit together: %+v", ErrRow, row.RowKey(), row.Table(), row))
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
	shared, err := w.follow(t, key)
	if err != nil {
		return err
	}
	if t == Pools {
		if err := w.roomForPool(); err != nil {
			return err
		}
	}
	if w.head.Base == nil {
		return w.fail(fmt.Errorf("%w: a full snapshot drops nothing, not %x of %v", ErrRow, key, t))
	}
	if w.took(appendDrop(w.slab.buf, key, shared), key) {
		return nil
	}
	return w.next(func(dst []byte) []byte { return appendDrop(dst, key, 0) }, key)
}

// after is follow for nearly every row: ids look random, so their first words
// tell. If it is not ok, that says nothing.
func (w *Writer) after(t Table, key []byte) (shared int, ok bool) {
	next := binary.BigEndian.Uint64(key)
	return bits.LeadingZeros64(w.word^next) / 8, t == w.open && next > w.word
}

// follow checks that a key may come next, and returns how much of it the key
// before it shares.
func (w *Writer) follow(t Table, key []byte) (shared int, err error) {
	if t != w.table || w.err != nil || w.done {
		if err := w.enter(t); err != nil {
			return 0, err
		}
	}
	if t != w.open {
		return 0, nil
	}
	if shared = commonPrefix(w.last[:], key); shared == len(key) || key[shared] < w.last[shared] {
		return 0, w.fail(fmt.Errorf("%w: in %v %x follows %x", ErrOrder, t, key, w.last[:len(key)]))
	}
	return shared, nil
}

// took makes longer, which has a row more, the slab, if the block may be so long.
func (w *Writer) took(longer, key []byte) bool {
	if w.rows == 0 || !w.slab.fits(longer) {
		return false
	}
	w.lengths = append(w.lengths, byte(len(longer)-len(w.slab.buf)))
	w.slab.buf = longer
	w.rows++
	w.word = binary.BigEndian.Uint64(key)
	moveID((*[32]byte)(w.last[:32]), (*[32]byte)(key))
	if len(key) == 64 {
		moveID((*[32]byte)(w.last[32:]), (*[32]byte)(key[32:]))
	}
	return true
}

// next begins a block with a row in plain form.
func (w *Writer) next(plain func(dst []byte) []byte, key []byte) error {
	if err := w.endBlock(); err != nil {
		return err
	}
	before := len(w.slab.buf)
	w.slab.buf = plain(w.slab.buf)
	w.lengths = append(w.lengths, byte(len(w.slab.buf)-before))
	w.rows, w.open = 1, w.table
	w.word = binary.BigEndian.Uint64(key)
	copy(w.first[:], key)
	copy(w.last[:], key)
	return nil
}

// enter ends the table being written and begins a later one.
func (w *Writer) enter(t Table) error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return ErrClosed
	case t < w.table:
		return w.fail(fmt.Errorf("%w: a row of %v after %v", ErrOrder, t, w.table))
	}
	if err := w.endBlock(); err != nil {
		return err
	}
	w.table, w.open, w.last = t, 0, [64]byte{}
	return nil
}

// endBlock seals the block under way, for a new file where this one is full.
func (w *Writer) endBlock() error {
	if w.rows == 0 {
		return nil
	}
	length := w.slab.seal(w.table, w.rows)
	if p := w.part(); w.limit > 0 && p.index.blocks() > 0 && p.sizeWith(length) > w.limit {
		if err := w.flush(w.slab.start); err != nil {
			return err
		}
		if err := w.begin(); err != nil {
			return err
		}
	}
	p := w.part()
	w.slab.jobs = append(w.slab.jobs, hashJob{
		from: p.out, d: w.d, table: w.table, block: p.add(w.table, w.first, length, w.rows), lengths: w.lengths,
	})
	w.slab.begin()
	w.taken += uint64(w.rows)
	w.rows, w.first, w.lengths = 0, [32]byte{}, w.digest.lengths()
	if w.notify != nil {
		w.notify(w.taken)
	}
	if w.slab.start < slabSize {
		return nil
	}
	return w.flush(w.slab.start - int((p.written+int64(w.slab.start))%slabPage))
}

// flush writes sealed blocks, n bytes.
func (w *Writer) flush(n int) error {
	if err := w.slab.flush(w.part(), n, w.digest); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *Writer) fail(err error) error {
	w.err, w.open = err, 0
	return err
}

// Abort drops what was written. It does nothing after Close or another Abort.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done, w.open = true, 0
	_ = w.digest.stop() // told already, or of no interest any more
	var errs []error
	for _, p := range w.parts {
		errs = append(errs, p.out.Abort())
	}
	return errors.Join(errs...)
}

// Written says what Close published. It is valid once that succeeded.
func (w *Writer) Written() Written { return w.result }

// Bound names the state that was written. It is valid once Close succeeded.
func (w *Writer) Bound() recovery.Bound { return w.result.Bound }

// Totals sums the state up. It is valid once Close succeeded.
func (w *Writer) Totals() Totals { return w.result.Totals }

package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/recoverd/recoverd/recovery"
)

// Summary is what a whole state comes to.
type Summary struct {
	Bound  recovery.Bound
	Totals Totals
}

// Summarize returns a state's summary: what a file says of itself, or what
// reading all of the state comes to. Errors wrap ErrKind where the state is an
// incremental Reader, ErrOrder, ErrRow or ErrOrphan where its rows are at fault,
// or are those of reading and of ctx.
func Summarize(ctx context.Context, s State) (Summary, error) {
	if s.Header().Base != nil {
		return Summary{}, fmt.Errorf("%w: an incremental snapshot is no state: lay it over its base", ErrKind)
	}
	if known, ok := s.(interface {
		Bound() recovery.Bound
		Totals() Totals
	}); ok {
		return Summary{known.Bound(), known.Totals()}, nil
	}
	return SumUp(ctx, s)
}

// SumUp reads all of a state. Errors are those of Summarize.
func SumUp(ctx context.Context, s State) (Summary, error) {
	var sums [tableCount]*TableHash
	for i := range sums {
		sums[i] = NewTableHash()
	}
	at := s.Header().Stamp
	m := NewMerge(MergeConfig{
		Epoch: at.Epoch, Position: at.Position, Pools: s.Pools(),
		Blobs:         &hashed[Blob, *Blob]{from: s.Blobs(), into: sums[Blobs-1], position: at.Position},
		Registrations: &hashed[Registration, *Registration]{from: s.Registrations(), into: sums[Registrations-1], position: at.Position},
		Pooled:        &hashed[Pooled, *Pooled]{from: s.Pooled(), into: sums[PooledRegistrations-1], position: at.Position},
	})
	var totals Totals
	rows := make([]recovery.Row, 256)
	for end := false; !end; {
		var n int
		var err error
		if n, end, err = m.Fill(ctx, rows); err != nil {
			return Summary{}, err
		}
		for i := range rows[:n] {
			totals.count(rows[i].Size)
		}
	}
	pools := &hashed[Pool, *Pool]{from: poolCursor(s.Pools()), into: sums[Pools-1], position: at.Position}
	for {
		row, err := pools.Next()
		if err != nil {
			return Summary{}, err
		}
		if row == nil {
			break
		}
	}
	var tables [tableCount]TableSum
	for i, h := range sums {
		tables[i] = h.Sum()
		*totals.Rows.of(Table(i + 1)) = tables[i].Rows
	}
	return Summary{recovery.Bound{Stamp: at, Digest: DigestOf(at, tables)}, totals}, nil
}

// hashed is a cursor that hashes what it yields, and checks it as a writer does.
type hashed[R any, P Row[R]] struct {
	from     Cursor[R]
	into     *TableHash
	position uint64 // of the state
	last     [64]byte
	any      bool
}

// Next implements Cursor.
func (h *hashed[R, P]) Next() (*R, error) {
	next, err := h.from.Next()
	if next == nil || err != nil {
		return nil, err
	}
	row := P(next)
	key := row.RowKey()
	switch {
	case !row.fits(h.position):
		return nil, fmt.Errorf("%w: %x of %v has no place in a state at position %d: %+v", ErrRow, key, row.Table(), h.position, *next)
	case h.any && !rising(h.last[:len(key)], key):
		return nil, fmt.Errorf("%w: in %v %x follows %x", ErrOrder, row.Table(), key, h.last[:len(key)])
	}
	copy(h.last[:], key)
	h.any = true
	h.into.Add(row)
	return next, nil
}

// TableSum is one table's part in a state's digest.
type TableSum struct {
	Rows   uint64
	Digest [32]byte // SHA-256 of the rows in plain form, in key order
}

// TableHash makes a TableSum, so that tables can be summed up at the same time.
type TableHash struct {
	h     hash.Hash
	plain []byte // rows not hashed yet
	rows  uint64
}

// NewTableHash returns the hash of no rows.
func NewTableHash() *TableHash {
	return &TableHash{h: sha256.New(), plain: make([]byte, 0, digestBatch+maxRow)}
}

// Add adds the next row by rising keys.
func (t *TableHash) Add(row Entry) {
	if len(t.plain) >= digestBatch {
		t.flush()
	}
	t.plain = row.AppendPlain(t.plain)
	t.rows++
}

func (t *TableHash) flush() {
	t.h.Write(t.plain)
	t.plain = t.plain[:0]
}

// Sum returns what was added so far.
func (t *TableHash) Sum() TableSum {
	t.flush()
	return TableSum{Rows: t.rows, Digest: [32]byte(t.h.Sum(nil))}
}

// DigestOf names the state with that stamp and those tables, in file order.
func DigestOf(at recovery.Stamp, tables [4]TableSum) recovery.Digest {
	return digestOf(Header{Stamp: at}, tables)
}

func digestOf(h Header, tables [tableCount]TableSum) recovery.Digest {
	b := append([]byte(digestDomain), byte(h.Kind()))
	b = h.appendBase(b)
	b = append(b, byte(len(h.Network)))
	b = append(b, h.Network...)
	b = binary.BigEndian.AppendUint32(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.Position)
	for _, t := range tables {
		b = binary.BigEndian.AppendUint64(b, t.Rows)
		b = append(b, t.Digest[:]...)
	}
	return sha256.Sum256(b)
}

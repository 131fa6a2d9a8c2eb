package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/reedsolomon"
)

// stripe is how much of each piece is in memory at once, in bytes.
const stripe = 64 << 10

// Source is a piece to rebuild others from.
type Source struct {
	Index  int
	Reader io.Reader
}

// Target takes a piece that is rebuilt.
type Target struct {
	Index  int
	Writer io.Writer
}

// Rebuild reads K pieces side by side, each to its end, and writes any others, in one
// pass: 64 KiB of each are in memory at once. A target may also be one of the
// sources: it gets a copy.
//
// It trusts its sources, since the code cannot tell wrong from right: one wrong byte
// makes wrong bytes in every target, without an error (hazard 68). So sources are
// read through Manifest.Check or something that judges likewise, and targets verified
// by Manifest.Judge. It writes nothing more once a source has failed, but what was
// written before may be wrong: it is to be thrown away.
//
// Errors are *SourceError, those of a target's writer, of ctx, or wrap ErrPieces.
func Rebuild(ctx context.Context, m *Manifest, sources []Source, targets []Target) error {
	r, err := newRebuild(m, sources, targets)
	if err != nil {
		return err
	}
	for left := m.PieceSize(); left > 0; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n := min(left, stripe)
		if err := r.stripe(int(n)); err != nil {
			return err
		}
		left -= n
	}
	return r.ends()
}

// rebuild is one pass over the pieces of a blob.
type rebuild struct {
	code    reedsolomon.Encoder // nil: nothing is to be computed
	sources []Source
	targets []Target
	in      [][]byte // a buffer for each source that lends none
	out     [][]byte // a buffer for each piece that is computed, by its number
	needed  []bool   // these
	pieces  [][]byte // the code's view of one stripe
}

func newRebuild(m *Manifest, sources []Source, targets []Target) (*rebuild, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	if len(sources) != m.K {
		return nil, fmt.Errorf("%w: %d of them, want %d", ErrPieces, len(sources), m.K)
	}
	r := &rebuild{
		sources: sources, targets: targets, in: make([][]byte, m.K), out: make([][]byte, m.N), needed: make([]bool, m.N), pieces: make([][]byte, m.N),
	}
	room := min(stripe, m.PieceSize())
	is := make([]bool, m.N)
	for i, s := range sources {
		if s.Index < 0 || s.Index >= m.N || is[s.Index] {
			return nil, fmt.Errorf("%w: piece %d of %d, or twice", ErrPieces, s.Index, m.N)
		}
		is[s.Index] = true
		if _, lends := s.Reader.(lender); !lends {
			r.in[i] = make([]byte, room)
		}
	}
	computed := false
	for _, t := range targets {
		if t.Index < 0 || t.Index >= m.N {
			return nil, fmt.Errorf("%w: piece %d of %d is to be rebuilt", ErrPieces, t.Index, m.N)
		}
		if !is[t.Index] && !r.needed[t.Index] {
			r.needed[t.Index], r.out[t.Index], computed = true, make([]byte, room), true
		}
	}
	if !computed {
		return r, nil
	}
	// One for each pass: it keeps the inverse of one set of sources, and is cheap.
	code, err := reedsolomon.New(m.K, m.N-m.K, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPieces, err)
	}
	r.code = code
	return r, nil
}

// stripe takes n bytes of each piece.
func (r *rebuild) stripe(n int) error {
	clear(r.pieces)
	for i, s := range r.sources {
		part, err := r.part(i, n)
		if err != nil {
			return &SourceError{s.Index, early(err)}
		}
		r.pieces[s.Index] = part
	}
	if r.code != nil {
		for i, out := range r.out {
			if r.needed[i] {
				r.pieces[i] = out[:0]
			}
		}
		if err := r.code.ReconstructSome(r.pieces, r.needed); err != nil {
			return fmt.Errorf("%w: %w", ErrPieces, err)
		}
	}
	for _, t := range r.targets {
		if _, err := t.Writer.Write(r.pieces[t.Index]); err != nil {
			return fmt.Errorf("write piece %d: %w", t.Index, err)
		}
	}
	return nil
}

// lender is a Reader that hands out its bytes where they are.
type lender interface{ next(n int) ([]byte, error) }

// part is the next n bytes of a source.
func (r *rebuild) part(i, n int) ([]byte, error) {
	from := r.sources[i].Reader
	if l, ok := from.(lender); ok {
		return l.next(n)
	}
	part := r.in[i][:n]
	_, err := io.ReadFull(from, part)
	return part, err
}

// early names the end of a source that comes too soon.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ends wants the end of every source, which is where it says whether it was right.
func (r *rebuild) ends() error {
	var more [1]byte
	for _, s := range r.sources {
		switch n, err := io.ReadFull(s.Reader, more[:]); {
		case n > 0:
			return &SourceError{s.Index, fmt.Errorf("%w: it goes on", ErrWrongPiece)}
		case !errors.Is(err, io.EOF):
			return &SourceError{s.Index, err}
		}
	}
	return nil
}

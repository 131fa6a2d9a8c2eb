package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// pieces is a file under way: which of its pieces lie in it is known by their
// digests (hazard 57).
type pieces struct {
	file archive.File
	f    *os.File
	size int64 // of the whole file
	len  int64 // of each piece but the last
	sums []Sum
	have []bool
}

// openPieces opens or makes the file at path, and finds the pieces that lie in
// it already. The caller closes it.
func openPieces(ctx context.Context, path string, file archive.File, l ListedFile, piece int64, buf []byte) (*pieces, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open part: %w", err)
	}
	p := &pieces{file: file, f: f, size: l.Size, len: piece, sums: l.Pieces, have: make([]bool, len(l.Pieces))}
	if err := p.look(ctx, buf); err != nil {
		return nil, errors.Join(fmt.Errorf("read part %s: %w", path, err), f.Close())
	}
	return p, nil
}

func (p *pieces) look(ctx context.Context, buf []byte) error {
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > p.size {
		if err := p.f.Truncate(p.size); err != nil {
			return err
		}
	}
	for i := range p.sums {
		from, to := p.span(i)
		if to > info.Size() {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := p.f.ReadAt(buf[:to-from], from); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		p.have[i] = sha256.Sum256(buf[:to-from]) == p.sums[i]
	}
	return nil
}

// span is where a piece lies in the file.
func (p *pieces) span(i int) (from, to int64) {
	from = int64(i) * p.len
	return from, min(from+p.len, p.size)
}

// done is how many bytes are there.
func (p *pieces) done() (n int64) {
	for i, have := range p.have {
		if have {
			from, to := p.span(i)
			n += to - from
		}
	}
	return n
}

// missing returns the first run of pieces that are not there, or false.
func (p *pieces) missing() (first, end int, any bool) {
	for first < len(p.have) && p.have[first] {
		first++
	}
	for end = first; end < len(p.have) && !p.have[end]; {
		end++
	}
	return first, end, first < len(p.have)
}

// take reads a piece from a peer and keeps it if it is the right one. An error of
// the peer's wraps ErrLied or is one of reading, an error of ours is a
// *localError.
func (p *pieces) take(r io.Reader, i int, buf []byte) (n int64, err error) {
	from, to := p.span(i)
	buf = buf[:to-from]
	if _, err := io.ReadFull(r, buf); err != nil {
		return 0, err
	}
	if sha256.Sum256(buf) != p.sums[i] {
		return 0, fmt.Errorf("%w: bytes %d to %d of %v are not what it said they are", ErrLied, from, to-1, p.file)
	}
	if _, err := p.f.WriteAt(buf, from); err != nil {
		return 0, &localError{fmt.Errorf("write part: %w", err)}
	}
	p.have[i] = true
	return to - from, nil
}

// localError is one of this machine, which no other peer mends.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

package erasure

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/recoverd/recoverd/syncer"
)

// judge sees the bytes of a piece, or of a manifest. It implements syncer.Judge.
type judge struct {
	hash hash.Hash
	size int64
	want [sha256.Size]byte
}

func newJudge(size int64, want [sha256.Size]byte) *judge { return &judge{sha256.New(), size, want} }

// Judge judges one piece. The index must be one of the manifest's.
func (m *Manifest) Judge(index int) syncer.Judge { return newJudge(m.PieceSize(), m.Pieces[index]) }

func (j *judge) Write(p []byte) (int, error) { return j.hash.Write(p) }
func (j *judge) Size() int64                 { return j.size }
func (j *judge) Reset()                      { j.hash.Reset() }

// sum is the digest of what was seen so far.
func (j *judge) sum() (got [sha256.Size]byte) {
	j.hash.Sum(got[:0])
	return got
}

func (j *judge) Verify() error {
	if got := j.sum(); got != j.want {
		return fmt.Errorf("%w: sha-256 begins with %x, want %x", syncer.ErrWrongBytes, got[:8], j.want[:8])
	}
	return nil
}

// Check returns a reader of a piece that answers io.EOF only after all of the piece's
// bytes, and only if they were right; otherwise an error that wraps ErrWrongPiece.
func (m *Manifest) Check(index int, r io.Reader) io.Reader {
	return &checked{from: r, judge: newJudge(m.PieceSize(), m.Pieces[index]), left: m.PieceSize()}
}

type checked struct {
	from  io.Reader
	judge *judge
	left  int64
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if int64(n) > c.left {
		return 0, fmt.Errorf("%w: it goes on after %d bytes", ErrWrongPiece, c.judge.size)
	}
	c.left -= int64(n)
	c.judge.hash.Write(p[:n])
	switch {
	case !errors.Is(err, io.EOF):
		return n, err
	case c.left > 0:
		return n, fmt.Errorf("%w: it ends after %d of %d bytes", ErrWrongPiece, c.judge.size-c.left, c.judge.size)
	}
	if err := c.judge.Verify(); err != nil {
		return n, fmt.Errorf("%w: %w", ErrWrongPiece, err)
	}
	return n, io.EOF
}

package syncer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Verifier knows what pieces of one encoding must look like. A host brings one
// for what the catalog's size and digest cannot judge. Its method may be called
// from many goroutines.
type Verifier interface {
	// Begin returns a judge for one piece. An error that wraps ErrUnverifiable
	// says that there is no way to tell; any other, that it could not be found
	// out now. ctx ends when nobody wants the blob any more; time limits are the
	// verifier's own.
	Begin(ctx context.Context, p Piece) (Judge, error)
}

// Judge sees the bytes of one piece, in order, and says whether they are right.
// One goroutine uses it at a time.
type Judge interface {
	// Writer takes the next bytes. It takes all of them and never fails.
	io.Writer
	// Size is the exact length of the piece, in bytes: 0 to maxPiece.
	Size() int64
	// Reset forgets the bytes, for another try.
	Reset()
	// Verify reports, wrapping ErrWrongBytes, how the bytes differ. The sink has
	// checked their number.
	Verify() error
}

// maxPiece bounds the size of a piece, in bytes (1 PiB). It keeps sums of sizes
// from overflowing; what fits is for the store to say.
const maxPiece = 1 << 50

// verifierFor chooses who judges the pieces of a request's blob. Errors wrap
// ErrUnverifiable.
func (c Config) verifierFor(req Request) (Verifier, error) {
	switch b := req.Blob; {
	case b.Encoding != recovery.Raw:
		if v := c.Verifiers[b.Encoding]; v != nil {
			return v, nil
		}
		return nil, fmt.Errorf("%w: no verifier for encoding %s", ErrUnverifiable, b.Encoding)
	case req.Placement != shards.Hashed:
		return nil, fmt.Errorf("%w: raw blobs are placed hashed, not %s", ErrUnverifiable, req.Placement)
	case b.Size < 0:
		return nil, fmt.Errorf("%w: the catalog does not know its size", ErrUnverifiable)
	}
	return contentVerifier{}, nil
}

// contentVerifier judges raw blobs by the catalog's size and SHA-256.
type contentVerifier struct{}

func (contentVerifier) Begin(_ context.Context, p Piece) (Judge, error) {
	return &contentJudge{hash: sha256.New(), size: p.Blob.Size, want: p.Blob.Digest}, nil
}

type contentJudge struct {
	hash hash.Hash
	size int64
	want [sha256.Size]byte
	got  [sha256.Size]byte
}

func (j *contentJudge) Write(p []byte) (int, error) { return j.hash.Write(p) }
func (j *contentJudge) Size() int64                 { return j.size }
func (j *contentJudge) Reset()                      { j.hash.Reset() }

func (j *contentJudge) Verify() error {
	j.hash.Sum(j.got[:0])
	if j.got != j.want {
		return fmt.Errorf("%w: sha-256 begins with %x, want %x", ErrWrongBytes, j.got[:8], j.want[:8])
	}
	return nil
}

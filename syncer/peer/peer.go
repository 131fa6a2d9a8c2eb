package peer

import (
	"context"
	"io"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// Peer is one place pieces come from. Its methods may be called from many
// goroutines.
type Peer interface {
	// Name identifies the peer for people. It never holds credentials.
	Name() string
	// Get asks for a piece and returns once the answer has begun; the caller
	// closes the body. When ctx ends, Get and the reading of the body end with
	// it, and with an error. Errors are *Error, unless ctx ended.
	Get(ctx context.Context, p syncer.Piece, from Resume) (Body, error)
	// Probe reports whether the peer can be reached, without asking for
	// anything. It ends with ctx.
	Probe(ctx context.Context) error
	// Close frees what the peer holds. No body may be open any more.
	Close() error
}

// Resume asks for the rest of a piece whose first bytes are there already. The
// zero value asks for all of it.
type Resume struct {
	Offset int64
	// Validator is that of the Body that the first bytes came from; empty if they
	// came from another peer, or from one that has none. Without it the rest is that
	// of whatever the peer has now.
	Validator string
}

// Body is the beginning of an answer. It holds the bytes of the piece from
// Offset on, as the peer has them: nothing was verified.
type Body struct {
	io.ReadCloser
	// Offset is Resume.Offset, or 0 if the peer has other bytes by now or
	// cannot begin in the middle.
	Offset int64
	// Length is how many bytes the peer says will follow, or -1.
	Length int64
	// Validator names exactly these bytes, so that a Resume can ask for the rest
	// of them and of no others; empty if the peer has no such name.
	Validator string
}

// SizeOf returns the size of a piece in bytes as far as the piece says it: that
// of a raw blob. Of other encodings only the sink knows it.
func SizeOf(p syncer.Piece) int64 {
	if p.Blob.Encoding == recovery.Raw && p.Blob.Size >= 0 {
		return p.Blob.Size
	}
	return recovery.SizeUnknown
}

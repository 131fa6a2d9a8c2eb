package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/recoverd/recoverd/syncer"
)

// Local is a store whose pieces may be read: store/fs has it.
type Local interface {
	// OpenPiece opens what has a piece's final name and returns its size in bytes.
	// Nothing is known about its bytes. Any error says that it cannot be had here.
	OpenPiece(ctx context.Context, p syncer.Piece) (io.ReadCloser, int64, error)
}

// Outlook is how promising it is to ask the peers for a piece now.
type Outlook uint8

const (
	Promising Outlook = iota // a peer lately served pieces of the same shard
	Unclear                  // some peer was not asked for any lately
	Dim                      // every peer lately lacked one, or lied about the blob
	Hopeless                 // no peer can be asked
)

// Config is what a Fetcher works with. The zero value of a limit means its default.
type Config struct {
	// Peers gets single pieces and manifests: a peer.Pool. Required.
	Peers syncer.Fetcher
	// Local is this node's own store, which is asked first; nil: there is none.
	Local Local
	// Outlook says whom it is worth to ask; nil: nothing is known. It may be called
	// from many goroutines.
	Outlook func(syncer.Piece) Outlook
	// Deadline bounds the fetching of one manifest; default 30 s.
	Deadline time.Duration
	// Manifests bounds the encoded manifests that are kept in memory, in bytes;
	// default 4 MiB.
	Manifests int
	// Streams bounds the pieces that rebuilds read at the same time, and with them
	// the memory: 256 KiB each. A blob of more pieces goes alone. Default 256.
	Streams int
}

// ErrConfig reports a missing part or a limit outside of its range.
var ErrConfig = errors.New("erasure: bad configuration")

func (c Config) withDefaults() Config {
	if c.Outlook == nil {
		c.Outlook = func(syncer.Piece) Outlook { return Unclear }
	}
	if c.Deadline == 0 {
		c.Deadline = 30 * time.Second
	}
	if c.Manifests == 0 {
		c.Manifests = 4 << 20
	}
	if c.Streams == 0 {
		c.Streams = 256
	}
	return c
}

// Validate reports, wrapping ErrConfig, the first thing that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Peers == nil:
		return fmt.Errorf("%w: there is nobody to ask", ErrConfig)
	case c.Deadline < time.Millisecond || c.Deadline > 24*time.Hour:
		return fmt.Errorf("%w: deadline is %v, want 1 ms to 24 h", ErrConfig, c.Deadline)
	case c.Manifests < MaxManifest || c.Manifests > 1<<30:
		return fmt.Errorf("%w: %d bytes of manifests, want %d to 1 GiB", ErrConfig, c.Manifests, MaxManifest)
	case c.Streams < 1 || c.Streams > 65_536:
		return fmt.Errorf("%w: %d streams, want 1 to 65536", ErrConfig, c.Streams)
	}
	return nil
}

package syncer

import (
	"context"
	"io"

	"github.com/recoverd/recoverd/recovery"
)

// Piece is what one shard holds of a blob.
type Piece struct {
	Blob  recovery.Blob
	Shard uint32
	Index uint32 // 0 is the whole blob where blobs are not striped
	// Manifest: this is the manifest of a striped blob, which lies beside the shards.
	// Shard and Index are 0 then and mean nothing.
	Manifest bool
}

// Store is where pieces go. Its methods may be called from many goroutines.
type Store interface {
	// Has reports whether the piece is there under its final name. An error is
	// never "no" (I8).
	Has(ctx context.Context, p Piece) (bool, error)
	// Create begins a piece of which size bytes will be written. Nothing is
	// visible under the final name before Publish. The caller ends the draft
	// with Publish or Discard. An error that wraps syscall.ENOSPC says that the
	// volume is full.
	Create(ctx context.Context, p Piece, size int64) (Draft, error)
}

// Draft is a piece under way. One goroutine uses it at a time.
type Draft interface {
	io.Writer
	// Reset drops what was written, for another try.
	Reset() error
	// Seal ends the writing. After it only Publish or Discard follow.
	Seal() error
	// Volume is where the draft lies. Drafts on one file system return the same
	// Volume value (comparable).
	Volume() Volume
	// Publish gives a sealed draft, whose bytes a flush made durable, its final
	// name. The name is durable after a later flush (I5). An error says that
	// the name was not given.
	Publish() error
	// Discard removes the draft. It may be called at any time before Publish,
	// and does nothing after one.
	Discard() error
}

// Volume makes drafts durable. One goroutine at a time calls Flush of a volume;
// several volumes are flushed at once (hazard 85).
type Volume interface {
	// Flush returns when the bytes of the sealed drafts in data, and the names of
	// the published drafts in names, would survive a power cut. It covers what
	// was done before it began. After an error nothing may be assumed about any
	// of them, ever (I12). The slices are the caller's; either may be empty.
	Flush(data, names []Draft) error
}

// Fetcher gets a piece from wherever it can be had.
type Fetcher interface {
	// Fetch writes the piece's bytes to sink and returns the name of the peer
	// that completed them, once sink.Verify has accepted them. It resets the sink
	// whenever it begins at zero, stops when ctx ends, and does not touch the sink
	// after it returned. Errors of the peers are *FetchError; an error of the sink's that
	// is not about the bytes (ErrStore) is nobody's fault and ends the fetch.
	Fetch(ctx context.Context, p Piece, sink Sink) (peer string, err error)
}

// Gatherer is what a Fetcher may also be: it gets several pieces of one striped blob
// together, so that what they are rebuilt from is fetched once.
type Gatherer interface {
	// Gather fills the sinks of pieces of one blob, none of them a manifest, by the
	// rules of Fetch. Where not all can be had, the error says why; a sink that has
	// accepted its bytes counts all the same. It uses a sink from one goroutine at a
	// time.
	Gather(ctx context.Context, wanted []Wanted) (peer string, err error)
}

// Wanted is a piece that is missing, and where its bytes go.
type Wanted struct {
	Piece Piece
	Sink  Sink
}

// Sink takes the bytes of one piece and judges them. It accepts at most the
// piece's size and one byte: the write that goes beyond fails with ErrTooLong.
// Once the store refused a byte, every method that can fails with ErrStore. One
// goroutine uses a sink at a time.
type Sink interface {
	io.Writer
	// Reset forgets what was written, for another try.
	Reset() error
	// Written is the number of bytes taken since the last Reset.
	Written() int64
	// Verify reports, wrapping ErrWrongBytes, how the bytes differ from the
	// catalog's length and digest. It must be called once all is written.
	Verify() error
}

// Holder is what a Sink may also be: a Fetcher that holds a transfer back for a limit
// of ours calls Hold, and Release when it goes on. The piece's deadline stands still
// in between, until each Hold has its Release: it is there for slow peers. Both may be
// called from many goroutines.
type Holder interface {
	Hold()
	Release()
}

// PeerNoter is what a Sink may also be: a Fetcher that knows names the peer whose
// bytes come next, for status. The name holds no credentials.
type PeerNoter interface{ NotePeer(peer string) }

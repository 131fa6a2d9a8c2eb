package worker

import (
	"context"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// Checkpoint keeps progress. The worker calls Load once, first; then Save and
// Reset from one goroutine. They return at once; done is called once, from any
// goroutine, when that record or a later one is durable, or with the error that
// ends the process (I12).
type Checkpoint interface {
	// Load returns what was saved last. An error says that it is not known (an OS
	// error); damage is not an error but a Note.
	Load() (recovery.Loaded, error)
	// Save writes a record that claims no less than the last one.
	Save(r recovery.Record, done func(error))
	// Reset writes a record that claims less (DESIGN 7). It is neither left out
	// nor overtaken.
	Reset(r recovery.Record, done func(error))
}

// Ownership says what the node must hold.
type Ownership interface {
	// Next blocks until there is an ownership that differs from the last one
	// returned, or a bad new version, which is reported once as an error and
	// leaves the old one in force. After an error it is asked again in a second.
	Next(ctx context.Context) (shards.Ownership, error)
}

// Catalog lists the certified blobs. Page and Lookup answer from the state that
// the last Pin returned, and may be called while another Pin is under way.
type Catalog interface {
	// Pin switches to the newest valid state and returns it.
	Pin(ctx context.Context) (recovery.Tip, error)
	// Page fills rows with the certified blobs after a mark, in rising order. End
	// says that nothing follows; a page that is short is not an end (I8).
	Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error)
	// Lookup returns the rows of those ids that are certified, in rising order.
	Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error)
}

// Narrower is a Catalog that can leave out of a page what did not change.
type Narrower interface {
	// PageSince is Page without the blobs of which no certification was made or
	// lengthened after since. It may return more, and never fewer (I7).
	PageSince(ctx context.Context, since recovery.Bound, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error)
}

// Follower tells when a catalog may have something newer than was pinned.
type Follower interface {
	// Changed returns nil as long as it may, and otherwise waits until it does or
	// ctx ends. It is asked at most once a second.
	Changed(ctx context.Context) error
}

// Store is where pieces are kept, as far as the worker looks at it.
type Store interface {
	// Prepare opens the store for an ownership, or checks it again. An error
	// says that it is not ready; one that wraps recovery.ErrMisconfigured, that
	// it never will be.
	Prepare(ctx context.Context, r recovery.StoreRequest) (recovery.StoreReport, error)
	// Mark sets Stored on the rows, which are in rising order. An error says
	// nothing about any of them (I8).
	Mark(ctx context.Context, rows []recovery.Row) error
	// Room returns the free space.
	Room(ctx context.Context) (recovery.Room, error)
}

// Syncer brings one blob into the store.
type Syncer interface {
	// Sync starts, or joins, the flight for a blob.
	Sync(syncer.Request) *syncer.Watch
	// CancelRun cancels the flights that only this run asked for.
	CancelRun(run uint64)
	// Flying reports whether a flight of the blob is under way. Its name may be in
	// the store already and not be durable yet, so a listing must not settle it.
	Flying(id recovery.BlobID) bool
	// Err returns the failed flush after which nothing is acknowledged any more, or
	// nil. The worker halts within a heartbeat, also when the flight was of a run
	// that is over (I12).
	Err() error
}

// Pieces tells what a shard has, for Explain.
type Pieces interface {
	// Has reports whether a piece is there under its final name. An error is never
	// "no" (I8).
	Has(ctx context.Context, p syncer.Piece) (bool, error)
}

// Liars remembers who sent wrong bytes, for Explain.
type Liars interface {
	// Liars names the peers that lately sent wrong bytes for a blob.
	Liars(id recovery.BlobID) []string
}

// Bandwidth bounds what all transfers together fetch.
type Bandwidth interface {
	// SetBandwidth takes effect at once; 0 is no bound.
	SetBandwidth(bytesPerSecond int64)
}

// Load tells what all transfers together do, for a concurrency that governs itself.
type Load interface {
	// Received counts the bytes that came from peers, also of blobs in flight.
	Received() uint64
	// Overload counts the signs that peers have more to do than they can.
	Overload() uint64
}

// Peers tells how many peers can be reached.
type Peers interface {
	Health() recovery.PeerHealth
	// Changed returns nil when the health has changed since it last returned, or
	// an error when ctx has ended.
	Changed(ctx context.Context) error
}

// Delays computes how long a cancelled blob waits for its next try.
type Delays interface {
	// Delay returns the wait after the n-th try, counted from 0.
	Delay(attempt uint32) time.Duration
}

// Observer is told what happened. Observe runs on a goroutine of its own with a
// bounded queue before it; a slow observer loses notices, which are counted, and
// delays nobody. It is not called any more once Run has returned, but one call
// that takes longer than half a second may outlive it.
type Observer interface {
	Observe(Notice)
}

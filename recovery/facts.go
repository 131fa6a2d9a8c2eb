package recovery

import (
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/shards"
)

// ErrMisconfigured marks facts that contradict each other so that only a human
// can resolve it (another network's store, two digests for one position). An
// adapter wraps it into its error; the process then stops with exit code 78.
var ErrMisconfigured = errors.New("recovery: misconfigured")

// ErrInDoubt marks a failed flush: nobody knows what is durable, and asking again
// may lie. An adapter wraps it into its error; the process then halts (I12).
var ErrInDoubt = errors.New("recovery: durability is in doubt")

// StoreRequest is what a store is opened for.
type StoreRequest struct {
	Network     string
	TotalShards uint32
	Placement   shards.Placement
	Owned       shards.Set
	// Identity is what saved progress is bound to; empty when none claims work.
	// While it is set the store makes no root of its own accord (hazard 82).
	Identity string
	// Claimed are the owned shards that saved progress says are filled: their
	// directories must be there. Other owned shards may be made.
	Claimed shards.Set
	// Settled counts the blobs that saved progress claims, for messages.
	Settled uint64
}

// StoreReport is what was found on opening.
type StoreReport struct {
	// Identity names the root and the markers of the owned shards. Equal
	// identities mean that nothing was swapped or wiped.
	Identity string
	// Wiped are the owned shards whose marker was missing or new.
	Wiped shards.Set
	// ManifestsWiped: so was that of the manifests' directory, where there is one.
	ManifestsWiped bool
	// Foreign: pieces here were written by others; names were not hashed.
	Foreign bool
}

// Room is the free space of a store's fullest volume, in bytes.
type Room struct {
	Free uint64
	Min  uint64 // below it the scan waits
	Low  bool
}

// String says why a low one is waited for, for people.
func (r Room) String() string {
	return fmt.Sprintf("the store's volume has %s free, fewer than the %s to be kept", sizeText(r.Free), sizeText(r.Min))
}

// sizeText is a number of bytes in the unit that suits it.
func sizeText(n uint64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<30:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30))
}

// take counts bytes that are about to be written, until the next look.
func (r *Room) take(size int64) {
	if size <= 0 || r.Min == 0 {
		return
	}
	r.Free -= min(r.Free, uint64(size))
	r.Low = r.Low || r.Free < r.Min
}

// PeerHealth is what the peers look like together.
type PeerHealth struct {
	Reachable int
	Total     int
	// Returns counts how often an unreachable peer came back.
	Returns uint64
}

// PageInfo describes one filled catalog page.
type PageInfo struct {
	Stamp Stamp
	N     int  // rows filled
	End   bool // nothing follows the last row
	// Pass is how many blobs a whole pass meets at most, where those that did not
	// change are left out; 0: all that are certified.
	Pass uint64
}

package transfer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// MaxPeers bounds the peers of a fetch.
const MaxPeers = 64

// Config says what to fetch, from whom, and where to.
type Config struct {
	// Archive is where the snapshots are put. What it has already is not fetched.
	Archive *archive.Archive
	// Peers are different URLs of servers, 1 to 64, below which /snapshots lies. User info
	// becomes an Authorization header; neither it nor a query is shown.
	Peers []string
	// Network is the only one to be fetched from; default: that of the archive, or
	// the one that all peers are of.
	Network string
	// Target is the position to be reached; archive.Latest: the highest.
	Target uint64
	// Digest, unless it is zero, is that of the snapshot asked for where peers
	// contradict each other.
	Digest recovery.Digest
	// Agree is how many peers must offer a snapshot for it to be believed; default
	// 1. What the archive has needs nobody's word.
	Agree int
	// Covers reports whether the events after a position can all be had. A snapshot
	// that they go on from leads to the newest event, whatever its position. Nil:
	// there are no events, and the highest snapshot is the best.
	Covers func(from uint64) bool
	// Progress is called for every piece, from the fetch's goroutine; nil: it is
	// not.
	Progress func(Progress)
	// TLS is used for https; nil means the system's roots.
	TLS *tls.Config

	// ListTimeout bounds one peer's answer with its list, in which it may have to
	// read all of its files; default 2 min.
	ListTimeout time.Duration
	// AnswerTimeout bounds the time from any other request to the end of the
	// answer's header; default 30 s.
	AnswerTimeout time.Duration
	// MinSpeed is what a peer must send while it is waited for, in bytes a second,
	// over every Window; default 64 KiB and 10 s (hazard 73).
	MinSpeed int64
	Window   time.Duration
	// Strikes is how often in a row a peer may fail without bringing a piece
	// before it is left alone; default 3. Pause lies between; default 1 s.
	Strikes int
	Pause   time.Duration
	// Rounds is how often the peers are asked for their lists; default 8.
	Rounds int
}

func (c Config) withDefaults() Config {
	setDefault(&c.Agree, 1)
	setDefault(&c.ListTimeout, 2*time.Minute)
	setDefault(&c.AnswerTimeout, 30*time.Second)
	setDefault(&c.MinSpeed, 64<<10)
	setDefault(&c.Window, 10*time.Second)
	setDefault(&c.Strikes, 3)
	setDefault(&c.Pause, time.Second)
	setDefault(&c.Rounds, 8)
	return c
}

// Validate reports the first value that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Archive == nil:
		return errors.New("transfer: no archive to fetch into")
	case len(c.Peers) == 0 || len(c.Peers) > MaxPeers:
		return fmt.Errorf("transfer: %d peers, want 1 to %d", len(c.Peers), MaxPeers)
	case c.Agree < 1 || c.Agree > len(c.Peers):
		return fmt.Errorf("transfer: %d of %d peers cannot agree", c.Agree, len(c.Peers))
	case c.ListTimeout < 0 || c.AnswerTimeout < 0 || c.Window < 0 || c.MinSpeed < 0 || c.Strikes < 0 || c.Pause < 0 || c.Rounds < 0:
		return errors.New("transfer: a limit is negative")
	}
	seen := map[string]bool{}
	for _, text := range c.Peers {
		p, err := parsePeer(text)
		if err != nil {
			return err
		}
		if seen[p.name] { // it would have two voices
			return fmt.Errorf("transfer: the peer %s is named twice", p.name)
		}
		seen[p.name] = true
	}
	return nil
}

// Progress says how far a fetch is.
type Progress struct {
	Name archive.Name // of the snapshot under way
	Peer string       // that sent the last piece
	// Done and Total are bytes of the snapshot; Reused, of those done, lay here
	// from an earlier try.
	Done, Reused, Total int64
}

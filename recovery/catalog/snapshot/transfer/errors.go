package transfer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

var (
	// ErrLied: a peer sent what contradicts its own words, or the protocol. It is
	// not asked again.
	ErrLied = errors.New("transfer: the peer cannot be trusted")
	// ErrGone: a peer no longer has what it offered.
	ErrGone = errors.New("transfer: the peer no longer has it")
	// ErrPeerURL: text that is no URL of a peer.
	ErrPeerURL = errors.New("transfer: bad URL of a peer")
	// ErrNoAnswer: no peer gave a list of snapshots, or none of those that may
	// still be asked.
	ErrNoAnswer = errors.New("transfer: no peer answers that can be believed")
	// ErrGaveUp: what was chosen could not be fetched from anybody. What has
	// arrived stays for the next try.
	ErrGaveUp = errors.New("transfer: gave up")
)

// PeerReport says how a peer behaved.
type PeerReport struct {
	Peer   string         // its URL as it may be shown
	Offers []archive.Name // of its last list
	Bytes  int64          // of pieces that it sent and that were right
	// Err is the last thing that went wrong; nil: nothing did. Lied: it wraps
	// ErrLied, and the peer was not asked again.
	Err  error
	Lied bool
}

// FetchError is every error of Fetch but that of a bad Config. It wraps the
// reason: one of archive's errors, ErrNoAnswer, ErrGaveUp, or that of ctx or of
// this machine.
type FetchError struct {
	Err   error
	Peers []PeerReport
}

// Unwrap returns the reason.
func (e *FetchError) Unwrap() error { return e.Err }

// Unanswered counts the peers that gave no list: what they have is not known.
func (e *FetchError) Unanswered() (n int) {
	for _, p := range e.Peers {
		if p.Offers == nil && p.Err != nil {
			n++
		}
	}
	return n
}

func (e *FetchError) Error() string {
	parts := []string{fmt.Sprintf("fetch snapshot: %v", e.Err)}
	for _, p := range e.Peers {
		if p.Err != nil {
			parts = append(parts, fmt.Sprintf("%s: %v", p.Peer, p.Err))
		}
	}
	return strings.Join(parts, "; ")
}

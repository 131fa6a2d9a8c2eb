package syncer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/recoverd/recoverd/recovery"
)

var (
	// ErrTooLong: a peer sent more bytes than the piece has.
	ErrTooLong = errors.New("syncer: more bytes than the piece has")
	// ErrWrongBytes: length or digest differ from the catalog's.
	ErrWrongBytes = errors.New("syncer: wrong bytes")
	// ErrStore: the store could not take a piece. No peer is to blame. Where the
	// volume is full the error wraps syscall.ENOSPC or syscall.EDQUOT too.
	ErrStore = errors.New("syncer: store")
	// ErrDeadline: a piece took longer than its size allows.
	ErrDeadline = errors.New("syncer: took too long")
	// ErrNotDurable: a flush failed. Nothing that was handed to the barrier and
	// not yet answered may be claimed, now or later (I12).
	ErrNotDurable = errors.New("syncer: not durable")
	// ErrUnverifiable: nothing here can judge the blob's bytes.
	ErrUnverifiable = errors.New("syncer: cannot be verified")
	// ErrOtherSet: the request names no shards that an answer could hold for.
	ErrOtherSet = errors.New("syncer: no such shard set")
)

// PeerAnswer is how one peer failed to serve a piece.
type PeerAnswer struct {
	Peer   string          // its name, without credentials
	Reason recovery.Reason // Absent, WrongBytes, Unreachable, PeerFailed, Deadline
	Err    error
}

// Definite reports whether the peer was reached and its answer is about the
// piece: it does not have it, or sent something else (I11).
func (a PeerAnswer) Definite() bool {
	return a.Reason == recovery.Absent || a.Reason == recovery.WrongBytes
}

// Answer is a PeerAnswer as it is kept: Err is one line of at most
// recovery.MaxErrorText bytes.
type Answer struct {
	Peer   string
	Reason recovery.Reason
	Err    string
}

// MaxAnswers bounds the answers kept of one flight.
const MaxAnswers = 16

// answersIn returns the peers' answers that an error holds.
func answersIn(err error) []Answer {
	var fetch *FetchError
	if !errors.As(err, &fetch) || len(fetch.Answers) == 0 {
		return nil
	}
	kept := make([]Answer, 0, min(len(fetch.Answers), MaxAnswers))
	for _, a := range fetch.Answers[:cap(kept)] {
		kept = append(kept, Answer{Peer: a.Peer, Reason: a.Reason, Err: oneLine(fmt.Sprint(a.Err))})
	}
	return kept
}

// FetchError says how every peer that was asked failed.
type FetchError struct {
	Answers []PeerAnswer // in the order asked; empty when there was none to ask
}

// Error names each peer and its answer on one line.
func (e *FetchError) Error() string {
	if len(e.Answers) == 0 {
		return "no peer could be asked"
	}
	var b strings.Builder
	for i, a := range e.Answers {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", a.Peer, a.Err)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As every peer's error.
func (e *FetchError) Unwrap() []error {
	errs := make([]error, len(e.Answers))
	for i, a := range e.Answers {
		errs[i] = a.Err
	}
	return errs
}

// Reason sums the answers up: the most telling one, in the order wrong bytes,
// absent, peer failed, deadline, unreachable.
func (e *FetchError) Reason() recovery.Reason {
	for _, r := range []recovery.Reason{recovery.WrongBytes, recovery.Absent, recovery.PeerFailed, recovery.Deadline} {
		for _, a := range e.Answers {
			if a.Reason == r {
				return r
			}
		}
	}
	return recovery.Unreachable
}

// Definite reports whether any reachable peer gave a definite answer.
func (e *FetchError) Definite() bool {
	for _, a := range e.Answers {
		if a.Definite() {
			return true
		}
	}
	return false
}

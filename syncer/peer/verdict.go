package peer

import (
	"errors"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// served ends a try that completed the piece.
func (f *fetch) served(s *stream) {
	for _, p := range f.parts {
		if p.from != s {
			f.pool.board.update(p.from.member, func(c *condition) { c.count.fetchedBytes += uint64(p.bytes) })
		}
	}
	f.pool.board.serve(s, len(f.parts) == 1)
}

// failed ends a try that the peer is to blame for.
func (f *fetch) failed(s *stream, err error) {
	var cut *cutError
	if errors.As(err, &cut) { // it failed while a rival was under way
		err = cutOff(f.sink.Written(), cut)
	}
	f.blame(s, f.pool.board.fail(s, err))
}

// blame notes what a peer that failed may still be asked for, and its answer.
func (f *fetch) blame(s *stream, failed *Error) {
	f.tried |= s.member.set()
	if s.offset > 0 && failed.Reason != recovery.Absent && failed.Reason != recovery.WrongBytes {
		f.whole |= s.member.set()
	}
	f.wrong = f.wrong || failed.Reason == recovery.WrongBytes && s.bytes > 0
	f.tell(s.member, failed.Reason, failed)
}

// mixed: what is in the sink is wrong, and nobody can be blamed.
func (f *fetch) mixed(s *stream) {
	for _, p := range f.parts {
		f.doubted |= p.from.member.set()
	}
	f.pool.board.doubt(f.doubted)
	f.tried |= s.member.set()
	f.whole |= f.doubted
	f.wrong = true
	f.tell(s.member, recovery.PeerFailed, errMixed)
	f.goAlone()
}

// abandon ends a try that nobody is to blame for.
func (f *fetch) abandon(s *stream) {
	f.pool.board.abandon(s)
}

// tell keeps the last answer of each peer.
func (f *fetch) tell(m *member, reason recovery.Reason, err error) {
	f.answers = slices.DeleteFunc(f.answers, func(a syncer.PeerAnswer) bool { return a.Peer == m.name })
	f.answers = append(f.answers, syncer.PeerAnswer{Peer: m.name, Reason: reason, Err: err})
}

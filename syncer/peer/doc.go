// Package peer says where pieces come from. A Peer is one such place; a Pool
// of them is a syncer.Fetcher that asks the best one first and fails over to
// the others.
//
// # Who does what
//
// A Peer (httppeer, mempeer) knows a protocol: how to ask for a piece, how to
// begin in its middle, and which answers mean what (Error). It is not trusted,
// and it decides nothing. A transfer reads what a Peer answers, for any
// protocol: never more than the piece's size and one byte, never slower than
// the minimum speed, never longer than the deadline; it goes on after a cut
// where the peer allows it, and lets the sink verify the bytes. The Pool
// chooses, remembers and reports.
//
// # State of a peer
//
//	reachable ──refused, timed out──▶ unreachable ──a probe got through──▶ reachable
//	reachable ──Retry-After, or RestAfter failures in a row──▶ resting ──time is up──▶ reachable
//
// A peer that is resting or unreachable is asked nothing: a Fetch that finds no
// other answers Unreachable at once, so that no permit is held while waiting,
// and nobody hammers a peer that is down. Such a peer is not counted in
// Health().Reachable, so the scan waits instead of turning the catalog into
// retries (hazard 29). Delays double from 1 s to 30 s until the peer gives a
// real answer; a probe that gets through proves only that something listens.
// After it came back, and until its first answer, a peer is on trial: one
// request at a time goes before other peers, so that one that accepts and hangs
// holds up one blob and not all of them (hazard 28).
//
// Only the absence of an answer makes a peer unreachable. Saying "absent" is an
// answer.
//
// # Choosing
//
// Of the usable peers not yet asked for the piece, in this order: those not
// known to have sent wrong bytes for this id; those not on trial with a request
// under way; for pieces of striped blobs, those that lately served others of the same
// shard, and last those that lately lacked one; those that served at least half of
// their recent tries; the least expected cost; the order configured. The cost is the
// expected time of the
// transfer, in powers of two, times the requests in flight and one: equal peers
// share the load, and a slow one gets a smaller share. Estimates fade with a
// half-life of 30 s, so no judgement is for ever.
package peer

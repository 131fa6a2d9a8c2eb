// Package peer says where pieces come from. A Peer is one such place; a Pool
// of them is a syncer.Fetcher that asks the best one first and fails over to
// the others.
//
// # Who does what
//
// A Peer (httppeer, mempeer) knows a protocol: how to ask for a piece, how to
// begin in its middle, and which answers mean what (Error). It is not trusted,
// and it decides nothing. A fetch reads what peers answer, for any protocol: never
// more than the piece's size and one byte, never slower than the minimum speed,
// never longer than the deadline; and lets the sink verify the bytes. The Pool
// chooses, remembers and reports.
//
// # Going on in the middle
//
// What has arrived is gone on with. After a cut the same peer is asked for the rest,
// if it has more and no other peer is clearly better; then the next one is asked from
// the offset reached, where a digest fixes the bytes. A peer that cannot begin there
// sends all of it. The digest is over the whole. Bytes that two peers have sent and
// that are wrong together are nobody's lie: the piece is fetched from zero, from one
// peer alone and then from the next, the peers in doubt first, those doubted most
// before the others. So whoever lies is found, and who is honest is never blamed.
//
// # Racing a slow peer
//
// A fetch waits for a peer at two kinds of points: until an answer begins, and for the
// next bytes of a body. A wait that is longer than 95 % of the recent ones is hedged: a
// second peer, the rival, is asked for the same bytes from the offset reached, and who
// delivers first is read on. The other one is closed, and has neither served nor
// failed. One goroutine writes to the sink, whoever wins.
//
// There are never more hedges than HedgePercent of the other requests. There are none
// while a peer rests, for five seconds after one asked to be left alone (429, 503) or
// the limit of bytes a second held a transfer, and where no other sound peer is left.
//
// # State of a peer
//
//	reachable ──refused, timed out──▶ unreachable ──a probe got through──▶ reachable
//	reachable ──Retry-After, RestAfter failures in a row, or half of the last 20──▶ resting ──time is up──▶ reachable
//
// A peer that is resting or unreachable is asked nothing: a Fetch that finds no
// other answers Unreachable at once, so that no permit is held while waiting,
// and nobody hammers a peer that is down. Such a peer is not counted in
// Health().Reachable, so the scan waits instead of turning the catalog into
// retries (hazard 29). Delays double from 1 s to 30 s until the peer gives a
// real answer; a probe that gets through proves only that something listens.
// After it came back, and until its first answer, a peer is on trial, and so is one
// that was beaten RestAfter times in a row: it gets one request at a time, before
// other peers, so that one that accepts and hangs holds up one blob and not all of
// them (hazard 28). A Fetch that has nobody else to ask waits for the verdict.
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

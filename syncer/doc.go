// Package syncer makes blobs durable on every owned shard. A Handler takes
// requests and answers each through a Watch; between the two a blob takes one
// way only:
//
//	which owned pieces are missing?      Store.Has
//	fetch and judge each                 Fetcher, into a Sink over a Draft
//	seal, and hand in                    Stored: the caller's slot is free again
//	flush bytes, rename, flush names     the barrier, in groups (I5)
//	Success                              every owned piece survives a power cut
//
// Rules that hold throughout:
//
//   - One flight per id, whoever asks (I9). A request for the same blob, covers
//     and placement shares it; another waits for its end (hazard 88).
//   - Bytes are judged at one door, the Sink, whatever peer or Fetcher brought
//     them; what fails goes nowhere near a final name.
//   - Nothing is retried here. A flight ends once, with an outcome that holds for
//     its own request; whoever asked decides about the next try (Retry says when).
//   - After a failed flush nothing is acknowledged any more (I12).
//
// The adapters are elsewhere: syncer/store for where pieces go, syncer/peer for
// where they come from.
package syncer

// Package transfer serves an archive's snapshots over HTTP, and brings those of
// peers into an archive.
//
// # Protocol
//
//	GET /snapshots          the list: one JSON document (Document)
//	GET /snapshots/<file>   one file, with Range and a strong ETag
//
// The list has the SHA-256 of every piece of every file, so that a piece that
// has arrived is proven at once, whoever sent it, and one that lies here from an
// earlier try is used again by its digest, never by its name (hazard 57).
//
// # Trust
//
// A peer can only waste time. What it lists is checked against itself before
// anything is asked for; bytes reach a draft piece by piece, each proven against
// the list; the whole is proven against the digest in its name; and only then
// does it get that name. Redirects, compression, proxies and cookies are off,
// and sizes, counts and times are bounded.
//
// One thing cannot be found out from the bytes: whether a snapshot that is sound
// in itself is of the history it claims. Config.Digest and Config.Agree are for
// that, and two digests for one position always stop a fetch (hazard 56).
package transfer

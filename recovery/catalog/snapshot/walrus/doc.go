// Package walrus reads the blob-info snapshots of Walrus storage nodes, in both
// published layouts: it streams, refuses everything that a layout does not
// allow, and turns a file into a catalog.
//
// Both layouts begin with the same magic and version and are otherwise
// incompatible. A reader tells them apart by trying both strictly.
//
// What a reader accepts has exactly the form of its layout, whatever the
// lengths in it claim: every length is compared with what it may be before a
// byte is read for it. Layout A also ends with a sum over the whole file, so
// that any flipped bit is noticed. Layout B has none: a flipped bit that leaves
// a value of the right form goes unnoticed, except that the file's digest is
// another one, which is what nodes compare. Neither sum stands up to somebody
// who means harm.
//
// The files hold no sizes, and a blob's id is not the hash of its bytes. Such
// blobs have the encoding walrus, which only a host with a Verifier of its own
// can store.
//
// # Reading the source
//
// layout.go names the layouts and sections; header.go and value.go are the
// parts of a file, input.go takes them off a stream, reader.go puts them
// together. summary.go adds a file up and diff.go compares two. state.go makes
// a catalog's state of one: record.go is what is sorted, tables.go what comes of
// it.
package walrus

// Package archive keeps the snapshots of a catalog in a directory: it names,
// lists, chooses, makes and removes them.
//
// # What decides is pure
//
// MakePlan chooses the way to a position, and Retain what is kept. Both know
// lists of entries only, wherever those come from, and give their reasons; so
// what a command shows and what a daemon does is the same.
//
// # What lies in the directory
//
//	full-<position>-<digest>.rsnap               a full snapshot
//	incr-<base>-<position>-<digest>.rsnap        one that is relative to a full one
//	full-<position>-<digest>.<n>of<m>.rsnap      the n-th of m chunks of one
//	.<anything>.rsnap-tmp, .<name>.rsnap-part    what is under way, or was
//
// The digest is the first 16 hex digits of the content's. A name is given to
// bytes that are durable, by one rename, which makes the snapshot count. Of a
// set of chunks it is that of the first one: it comes after all others, durably,
// and is removed before them, durably. So a kill at any moment leaves the
// snapshot there or not there, and never half of it: chunks without the first
// are a leftover, and a first one without the others tells of damage.
//
// # Who may do what at the same time
//
// Listing needs no lock. One creation at a time holds the draft .create.rsnap-tmp,
// one fetch each draft of its own. Publishing, cleaning and pruning hold the
// directory itself, for moments. A snapshot that is open has a shared lock on its
// first file, and pruning takes an exclusive one on what it removes. All locks
// are flocks, of processes and within one, and end with their owner.
//
// # Reading the source
//
// name.go and entry.go are what a list knows; plan.go and retain.go decide;
// archive.go, lock.go and list.go look at the directory; draft.go, create.go,
// part.go and publish.go bring something into it, prune.go takes it out; open.go
// opens it; disk.go is all that changes the directory, in four calls.
package archive

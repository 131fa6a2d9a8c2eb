package provider

import (
	"crypto/sha256"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Status is what a source looks like to an operator.
type Status struct {
	// Loaded is when the version in force was first read; zero: none is.
	Loaded time.Time
	// Versions counts the good versions, BadVersions the others, a source that
	// could not be read included. The same one again does not count.
	Versions, BadVersions uint64
	// LastError says why the newest version is not in force; empty when it is.
	LastError string
}

// version tells versions apart: by content, or by the text of the error that came
// in its place.
type version struct {
	digest  [sha256.Size]byte
	trouble string
}

// book is what a ledger knows and what it has told. It is plain data.
type book struct {
	newest  *version          // good or bad; nil: nothing was read yet
	inForce *version          // the newest good one
	current shards.Ownership  // of the version in force
	told    *shards.Ownership // what was last returned; nil: nothing
	news    error             // bad news not returned yet
	status  Status
}

// knows reports whether v is what was read last.
func (b *book) knows(v version) bool { return b.newest != nil && *b.newest == v }

// write enters a version that was read: its ownership, or what is wrong with it.
func (b *book) write(v version, o shards.Ownership, err error, now time.Time) {
	b.newest = &v
	b.news = err
	if err != nil {
		b.status.BadVersions++
		b.status.LastError = err.Error()
		return
	}
	b.status.LastError = ""
	if b.inForce != nil && *b.inForce == v {
		return // it was in force all along, behind a bad one
	}
	b.inForce, b.current = &v, o
	b.status.Versions++
	b.status.Loaded = now
}

// answer is one thing to tell: an ownership, or an error about a bad version.
type answer struct {
	ownership shards.Ownership
	err       error
}

// take returns what the reader must hear next: the ownership in force if it
// differs from the one told, then the bad version that came after it. nil means
// that there is nothing to tell.
func (b *book) take() *answer {
	if b.inForce != nil && (b.told == nil || !b.told.Equal(b.current)) {
		told := b.current
		b.told = &told
		return &answer{ownership: told}
	}
	if b.news == nil {
		return nil
	}
	bad := &answer{err: b.news}
	b.news = nil
	return bad
}

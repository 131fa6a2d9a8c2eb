package peer

import (
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// maxLies bounds the memory of lies; the oldest is forgotten first.
const maxLies = 1024

// lie says that a peer sent wrong bytes for an id.
type lie struct {
	peer int
	id   recovery.BlobID
}

// liars remembers which peer sent wrong bytes for which id, for a while.
type liars struct {
	keep  time.Duration
	until map[lie]time.Time
	ring  [maxLies]lie // in the order remembered
	next  int
}

func (l *liars) remember(now time.Time, told lie) {
	if l.until == nil {
		l.until = make(map[lie]time.Time)
	}
	if _, known := l.until[told]; !known {
		if len(l.until) == maxLies {
			delete(l.until, l.ring[l.next])
		}
		l.ring[l.next] = told
		l.next = (l.next + 1) % maxLies
	}
	l.until[told] = now.Add(l.keep)
}

func (l *liars) knows(now time.Time, told lie) bool {
	until, known := l.until[told]
	return known && now.Before(until)
}

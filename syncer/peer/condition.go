package peer

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery"
)

// State is where a peer stands. The values are the words of JSON and metrics.
type State string

const (
	Reachable   State = "reachable"   // asked for pieces
	Resting     State = "resting"     // left alone until its time is up
	Unreachable State = "unreachable" // probed, and asked nothing
)

// condition is all that is known about one peer, and the rules by which it
// changes (doc.go). It is plain data: its owner brings the time and the lock.
type condition struct {
	state State
	until time.Time // of a rest, or of the next probe
	level int       // rests in a row; the next one is restAfter(level+1)
	row   int       // failures in a row
	trial bool      // it came back, and has not answered since

	answeredAt time.Time // last answer about a piece
	returns    uint64    // times it came back from unreachable
	inFlight   int
	score      score
	count      counts
	lastErr    string
	lastErrAt  time.Time
}

// counts are sums since the pool was made.
type counts struct {
	fetched, fetchedBytes                   uint64
	absent, wrongBytes, failed, unreachable uint64
	overloads                               uint64
}

// try is what one transfer showed about a peer.
type try struct {
	began    time.Time
	answered time.Time     // when the first body began; zero: never
	held     time.Duration // after that, by our own limit
	bytes    int64
	err      *Error // nil: served
}

// end counts a try that ended at now.
func (c *condition) end(now time.Time, t try) {
	c.inFlight--
	if t.err == nil {
		c.count.fetched++
		c.count.fetchedBytes += uint64(t.bytes)
		c.score.served(now, t.answered.Sub(t.began), now.Sub(t.answered)-t.held, t.bytes)
		c.answer(now)
		return
	}
	c.score.missed(now)
	if t.err.overload() {
		c.count.overloads++
	}
	switch t.err.Reason {
	case recovery.Absent:
		c.count.absent++
		c.answer(now)
		return
	case recovery.WrongBytes:
		c.count.wrongBytes++
		c.answer(now)
	case recovery.Unreachable:
		c.count.unreachable++
		c.silent(now, t.began)
	default:
		c.count.failed++
		c.fail(now, t.err.Rest)
	}
	c.note(now, t.err)
}

// abandon forgets a try that ended through no doing of the peer's.
func (c *condition) abandon() { c.inFlight-- }

// answer: the peer said something about a piece.
func (c *condition) answer(now time.Time) {
	c.answeredAt, c.row, c.level, c.trial = now, 0, 0, false
	if c.state == Unreachable {
		c.state = Reachable
		c.returns++
	}
}

// silent: a request that was sent at began got no answer. If another one did
// in the meantime, the peer is not down.
func (c *condition) silent(now, began time.Time) {
	if c.answeredAt.After(began) {
		c.fail(now, 0)
		return
	}
	if c.state != Unreachable { // else one outage, seen by many tries
		c.state = Unreachable
		c.level++
		c.until = now.Add(restAfter(c.level))
	}
}

// fail: the peer was reached, and could not serve. It rests if it asked for it,
// or after RestAfter failures in a row.
func (c *condition) fail(now time.Time, asked time.Duration) {
	c.row++
	if c.state == Unreachable {
		return
	}
	var d time.Duration
	if asked > 0 {
		d = clampRest(asked)
	}
	if c.row >= RestAfter && c.state == Reachable {
		c.level++
		d = max(d, restAfter(c.level))
	}
	if until := now.Add(d); d > 0 && (c.state != Resting || until.After(c.until)) {
		c.state, c.until = Resting, until
	}
}

// due says what to do next about a peer that is not reachable, and in how long:
// probe it, or end its rest.
func (c *condition) due(now time.Time) (in time.Duration, probe, down bool) {
	if c.state == Reachable {
		return 0, false, false
	}
	return max(0, c.until.Sub(now)), c.state == Unreachable, true
}

// probed brings the result of a probe.
func (c *condition) probed(now time.Time, err error) {
	switch {
	case c.state != Unreachable: // an answer came first
	case err == nil:
		c.state, c.trial = Reachable, true
		c.returns++
	default:
		c.level++
		c.until = now.Add(restAfter(c.level))
		c.note(now, fmt.Errorf("probe: %w", err))
	}
}

// rested ends a rest whose time is up.
func (c *condition) rested(now time.Time) {
	if c.state == Resting && !now.Before(c.until) {
		c.state, c.trial = Reachable, true
	}
}

func (c *condition) note(now time.Time, err error) {
	c.lastErr, c.lastErrAt = oneLine(err), now
}

// oneLine is an error's text for people: at most recovery.MaxErrorText bytes of
// one line. Peers have a say in it, so nothing in it moves a terminal's cursor
// or turns the writing direction.
func oneLine(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) && r != utf8.RuneError {
			return r
		}
		return ' '
	}, err.Error())
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= recovery.MaxErrorText {
		return text
	}
	return strings.ToValidUTF8(text[:recovery.MaxErrorText], "")
}

package peer

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// Whatever happens to a peer, it is never left alone for more than RestMax, its
// counts add up, and its way back is always open.
func TestConditionHolds(t *testing.T) {
	reasons := []recovery.Reason{recovery.Absent, recovery.WrongBytes, recovery.Unreachable, recovery.PeerFailed, recovery.Deadline, ""}
	evidence.Property(t, "peers: none is left alone for longer than allowed, and its way back is open", func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		c := condition{state: Reachable}
		var flying []time.Time
		var ended uint64
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				if c.state != Reachable {
					t.Skip()
				}
				c.inFlight++
				flying = append(flying, now)
			},
			"end": func(t *rapid.T) {
				if len(flying) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(flying)-1).Draw(t, "which")
				one := try{began: flying[i], answered: now, bytes: 10}
				if r := rapid.SampledFrom(reasons).Draw(t, "reason"); r != "" {
					rest := time.Duration(rapid.Int64().Draw(t, "rest"))
					one.err = &Error{Reason: r, Rest: rest, Err: errors.New("e")}
				}
				flying = append(flying[:i], flying[i+1:]...)
				c.end(now, one)
				ended++
			},
			"abandon": func(t *rapid.T) {
				if len(flying) == 0 {
					t.Skip()
				}
				flying = flying[1:]
				c.abandon()
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "d")))
			},
			"due": func(t *rapid.T) {
				in, probe, down := c.due(now)
				if !down {
					t.Skip()
				}
				now = now.Add(in)
				if probe {
					c.probed(now, rapid.SampledFrom([]error{nil, errors.New("refused")}).Draw(t, "probe"))
				} else if c.rested(now); c.state != Reachable {
					t.Fatalf("%s after its rest", c.state)
				}
			},
			"": func(t *rapid.T) {
				if left := c.until.Sub(now); c.state != Reachable && left > RestMax {
					t.Fatalf("%s for %v", c.state, left)
				}
				n := c.count
				if sum := n.fetched + n.absent + n.wrongBytes + n.failed + n.unreachable; sum != ended || c.inFlight != len(flying) {
					t.Fatalf("%d tries ended and %d are in flight; counted %d and %d", ended, len(flying), sum, c.inFlight)
				}
				if s := c.score.useless; s < 0 || s > 1 || c.score.cost(now, 1<<40, c.inFlight) == 0 {
					t.Fatalf("score %+v", c.score)
				}
			},
		})
	})
}

// 64 requests that find a peer dead are one outage.
func TestOneOutageCountsOnce(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := condition{state: Reachable, inFlight: 64}
	for range 64 {
		c.end(now.Add(time.Second), try{began: now, err: Errorf(recovery.Unreachable, "refused")})
	}
	if c.level != 1 || c.until != now.Add(2*time.Second) || c.count.unreachable != 64 {
		t.Errorf("%+v", c)
	}
}

// One request that gets no answer, while others do, does not make a peer
// unreachable.
func TestOneSilenceAmongAnswers(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := condition{state: Reachable, inFlight: 2}
	c.end(now.Add(5*time.Second), try{began: now, answered: now})
	c.end(now.Add(10*time.Second), try{began: now, err: Errorf(recovery.Unreachable, "timeout")})
	if c.state != Reachable {
		t.Errorf("it is %s", c.state)
	}
}

// An answer about a piece wipes the slate clean; a probe that gets through does
// not.
func TestAnswerEndsTheDoubling(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, reason := range []recovery.Reason{"", recovery.Absent, recovery.WrongBytes} {
		c := condition{state: Reachable, inFlight: 100}
		failed := try{began: now, err: Errorf(recovery.PeerFailed, "500")}
		silent := try{began: now, err: Errorf(recovery.Unreachable, "refused")}
		for level := 1; level <= 3; level++ {
			c.end(now, silent)
			if want := now.Add(restAfter(level)); c.until != want || c.state != Unreachable {
				t.Fatalf("outage %d: %s until %v, want %v", level, c.state, c.until, want)
			}
			c.probed(now, nil)
			if c.state != Reachable || !c.trial {
				t.Fatalf("after a probe: %+v", c)
			}
		}
		for range RestAfter - 1 {
			c.end(now, failed)
		}
		answer := try{began: now, answered: now}
		if reason != "" {
			answer.err = Errorf(reason, "answer")
		}
		c.end(now, answer)
		if c.trial {
			t.Errorf("%q: still on trial", reason)
		}
		for range RestAfter - 1 {
			c.end(now, failed)
		}
		if c.state != Reachable {
			t.Errorf("%q: %s after %d failures in a row", reason, c.state, RestAfter-1)
		}
		silent.began = now.Add(time.Second)
		c.end(now, silent)
		if want := now.Add(RestMin); c.until != want || c.state != Unreachable {
			t.Errorf("%q: %s until %v, want %v", reason, c.state, c.until, want)
		}
	}
}

func TestLiarsAreBounded(t *testing.T) {
	l := liars{keep: time.Minute}
	now := time.Unix(1_700_000_000, 0)
	told := func(i int) lie { return lie{peer: i % 3, id: recovery.BlobID{byte(i), byte(i >> 8)}} }
	for i := range 5 * maxLies {
		l.remember(now, told(i))
		l.remember(now, told(i))
	}
	if len(l.until) != maxLies {
		t.Errorf("%d lies are kept, want %d", len(l.until), maxLies)
	}
	for _, i := range []int{4*maxLies - 1, 4 * maxLies, 5*maxLies - 1} {
		if got, want := l.knows(now, told(i)), i >= 4*maxLies; got != want {
			t.Errorf("lie %d: known is %v", i, got)
		}
	}
	if l.knows(now.Add(time.Minute), told(5*maxLies-1)) {
		t.Error("a lie is held against a peer for ever")
	}
}

func TestRestAfter(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 30, 7: 30, 1_000_000: 30} {
		if got := restAfter(n); got != want*time.Second {
			t.Errorf("rest %d is %v, want %d s", n, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	text := oneLine(errors.New("a\r\nb\xff\x1b[2J\u202e" + strings.Repeat("ü", 500)))
	if len(text) > recovery.MaxErrorText || strings.ContainsAny(text, "\r\n\x1b\u202e\u2028") || !utf8.ValidString(text) {
		t.Errorf("%q", text)
	}
}

// A peer that fails every other time never fails RestAfter times in a row, and rests all
// the same; what is absent or wrong is an answer.
func TestErrorRateOpens(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		name   string
		reason recovery.Reason
		tries  int
		step   time.Duration
		rests  bool
	}{
		{"half fail", recovery.PeerFailed, latelyTries, 0, true},
		{"half are late", recovery.Deadline, latelyTries, 0, true},
		{"too few to tell", recovery.PeerFailed, latelyTries - 2, 0, false},
		{"half fail, over a long time", recovery.PeerFailed, 10 * latelyTries, 2 * time.Second, false},
		{"half are absent", recovery.Absent, 10 * latelyTries, 0, false},
		{"half are wrong", recovery.WrongBytes, 10 * latelyTries, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cond, now := condition{state: Reachable, inFlight: 1000}, now
			for i := range c.tries {
				one := try{began: now, answered: now}
				if i%2 == 1 {
					one.err = Errorf(c.reason, "e")
				}
				cond.end(now, one)
				now = now.Add(c.step)
			}
			if rests := cond.state == Resting; rests != c.rests {
				t.Fatalf("%s: %s", cond.state, cond.words())
			}
			if want := "not asked for a while, because of 10 failures in the last 20 tries"; c.rests && cond.words() != want {
				t.Errorf("%q, want %q", cond.words(), want)
			}
		})
	}
}

// What an operator reads about a peer, through all its states.
func TestWords(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := condition{state: Reachable, inFlight: 1000}
	check := func(want string) {
		t.Helper()
		if got := c.words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	end := func(e *Error) { c.end(now, try{began: now, answered: now, err: e}) }
	check("asked for pieces")
	end(&Error{Reason: recovery.PeerFailed, Rest: time.Second, Err: errors.New("status 503")})
	check("not asked for a while, because it asked to be left alone")
	now = now.Add(time.Second)
	c.rested(now)
	check("one request at a time until it answers, after it asked to be left alone")
	end(nil)
	check("asked for pieces")
	for range RestAfter {
		end(Errorf(recovery.PeerFailed, "status 500"))
	}
	check("not asked for a while, because of 5 failures in a row")
	now = now.Add(time.Second)
	c.rested(now)
	check("one request at a time until it answers, after 5 failures in a row")
	now = now.Add(time.Second)
	c.end(now, try{began: now, err: Errorf(recovery.Unreachable, "refused")})
	check("not asked but probed, because a request got no answer")
	c.probed(now, errors.New("refused"))
	check("not asked but probed, because it cannot be connected to")
	c.probed(now, nil)
	check("one request at a time until it answers, after it could not be reached")
	end(Errorf(recovery.Absent, "status 404"))
	check("asked for pieces")
	for range RestAfter {
		c.beaten(now, time.Second)
	}
	check("one request at a time until it answers, after others were faster 5 times in a row")
}

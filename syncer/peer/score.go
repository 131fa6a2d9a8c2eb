package peer

import (
	"math"
	"math/bits"
	"time"
)

const (
	scoreWeight   = 0.2              // of the newest sample in an average
	scoreHalfLife = 30 * time.Second // of an estimate that nothing renews
	speedSample   = 64 << 10         // smallest transfer that tells a speed, bytes
	suspectShare  = 0.5              // of recent tries that served nothing
	costUnit      = 1024             // µs; shorter times are taken for equal
	rateMemory    = 10 * time.Second // over which the rate of bytes is averaged
)

// score is what is expected of a peer, from what it did lately. The zero value
// expects the best.
type score struct {
	at       time.Time
	useless  float64 // share of tries that served nothing, 0 to 1
	answer   float64 // seconds until an answer begins
	perByte  float64 // seconds a byte after that
	rateAt   time.Time
	rateSeen float64 // bytes a second, all transfers together, at rateAt
}

// served counts a try that gave the piece: its answer began after a time, and
// n bytes were read in the time after that.
func (s *score) served(now time.Time, answer, body time.Duration, n int64) {
	s.age(now)
	s.useless = blend(s.useless, 0)
	s.answer = blend(s.answer, answer.Seconds())
	if n >= speedSample {
		s.perByte = blend(s.perByte, body.Seconds()/float64(n))
	}
	s.rateSeen = s.rate(now) + float64(n)/rateMemory.Seconds()
	s.rateAt = now
}

// late counts a try that was given up after a time in which no answer began, or no
// bytes came: an answer is taken to need twice as long.
func (s *score) late(now time.Time, waited time.Duration) {
	s.age(now)
	s.answer = max(s.answer, blend(s.answer, 2*waited.Seconds()))
}

// missed counts a try that served nothing, for whatever reason.
func (s *score) missed(now time.Time) {
	s.age(now)
	s.useless = blend(s.useless, 1)
}

// suspect reports whether most of the recent tries served nothing.
func (s *score) suspect(now time.Time) bool { return s.useless*s.faded(now) >= suspectShare }

// cost orders peers: the expected time of getting size more bytes (unknown if
// negative), as a power of two, for each request in flight and the new one.
func (s *score) cost(now time.Time, size int64, inFlight int) uint64 {
	expected := (s.answer + s.perByte*float64(max(size, 0))) * s.faded(now)
	tier := bits.Len64(uint64(min(expected*1e6, 1e12)) / costUnit)
	return uint64(inFlight+1) << tier
}

// rate is the bytes a second served lately.
func (s *score) rate(now time.Time) float64 {
	if s.rateAt.IsZero() {
		return 0
	}
	return s.rateSeen * math.Exp(-now.Sub(s.rateAt).Seconds()/rateMemory.Seconds())
}

func (s *score) age(now time.Time) {
	f := s.faded(now)
	s.useless, s.answer, s.perByte, s.at = s.useless*f, s.answer*f, s.perByte*f, now
}

// faded is what remains of an estimate since it was renewed, 0 to 1.
func (s *score) faded(now time.Time) float64 {
	if s.at.IsZero() {
		return 1
	}
	return math.Exp2(-now.Sub(s.at).Seconds() / scoreHalfLife.Seconds())
}

func blend(old, sample float64) float64 { return old + scoreWeight*(sample-old) }

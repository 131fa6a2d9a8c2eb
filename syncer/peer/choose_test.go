package peer

import (
	"context"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// named is a peer that is never asked.
type named string

func (n named) Name() string                                          { return string(n) }
func (named) Get(context.Context, syncer.Piece, Resume) (Body, error) { panic("asked") }
func (named) Probe(context.Context) error                             { return nil }
func (named) Close() error                                            { return nil }

// A peer that was cut is asked for the rest itself, unless another one is clearly
// better.
func TestOutranked(t *testing.T) {
	answers := func(c *condition, d time.Duration) {
		for range 50 {
			c.score.served(time.Now(), d, 0, 0)
		}
	}
	miss := func(c *condition) {
		for range 10 {
			c.score.missed(time.Now())
		}
	}
	for _, test := range []struct {
		name  string
		set   func(mine, other *condition)
		tried bool
		want  bool
	}{
		{"as good as the other", func(_, _ *condition) {}, false, false},
		{"a little slower", func(mine, other *condition) { answers(mine, 20*time.Millisecond); answers(other, 10*time.Millisecond) }, false, false},
		{"much slower", func(mine, other *condition) { answers(mine, time.Second); answers(other, 10*time.Millisecond) }, false, true},
		{"much slower, and the other was asked", func(mine, other *condition) { answers(mine, time.Second); answers(other, 10*time.Millisecond) }, true, false},
		{"much slower, and the other is busy", func(mine, other *condition) {
			answers(mine, 100*time.Millisecond)
			answers(other, 10*time.Millisecond)
			other.inFlight = 20
		}, false, false},
		{"useless lately", func(mine, _ *condition) { miss(mine) }, false, true},
		{"both useless lately", func(mine, other *condition) { miss(mine); miss(other) }, false, false},
		{"resting", func(mine, _ *condition) { mine.state = Resting }, false, true},
		{"resting, and the other too", func(mine, other *condition) { mine.state, other.state = Resting, Resting }, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBoard(Config{}.withDefaults(), []Peer{named("mine"), named("other")})
			mine, other := b.members[0], b.members[1]
			mine.cond.inFlight = 1
			test.set(&mine.cond, &other.cond)
			var tried peerSet
			if test.tried {
				tried = other.set()
			}
			if got := b.outranked(mine, syncer.Piece{Blob: recovery.Blob{Size: 10, Encoding: recovery.Raw}}, tried); got != test.want {
				t.Errorf("outranked: %t", got)
			}
		})
	}
}

package transfer

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// dripping gives n bytes every period until its request is cancelled.
type dripping struct {
	cancelled <-chan struct{}
	n         int
	period    time.Duration
}

func (d dripping) Read(b []byte) (int, error) {
	select {
	case <-time.After(d.period):
		return min(len(b), d.n), nil
	case <-d.cancelled:
		return 0, errors.New("cancelled")
	}
}

// Hazard 73: a drip of one byte a second is cut off after a window, however long
// it might last; what is fast enough on the whole, and waits of our own, are
// not.
func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		n            int
		period, ours time.Duration
		reads        int
		slow         bool
	}{
		"a byte a second":        {1, time.Second, 0, 1000, true},
		"nothing":                {1, time.Hour, 0, 1, true},
		"a little too slow":      {990, time.Second, 0, 1000, true},
		"just enough":            {1200, time.Second, 0, 1000, false},
		"much, with long pauses": {12000, 9 * time.Second, 0, 100, false},
		"a slow disk of ours":    {1200, time.Second, time.Minute, 100, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p := startPace(dripping{ctx.Done(), c.n, c.period}, 1000, 10*time.Second, cancel)
			defer p.stop()
			began := time.Now()
			var err error
			for i := 0; i < c.reads && err == nil; i++ {
				_, err = io.ReadFull(p, make([]byte, c.n))
				time.Sleep(c.ours)
			}
			if c.slow != errors.Is(err, errSlow) || !c.slow && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); c.slow && took > 20*time.Second {
				t.Errorf("%s: only after %v", name, took)
			}
		})
	}
}

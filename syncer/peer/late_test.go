package peer

import (
	"testing"
	"time"
)

// A wait is late when its patience ends, and then after twice the time. While we are
// late ourselves, as a process that gets no CPU is, it is not held to be.
func TestLate(t *testing.T) {
	const patience = 10 * time.Second // no timer of the test's fires by itself
	p := pace{cfg: Config{}.withDefaults(), size: 100, cancel: func(error) {}, patience: [2]time.Duration{patience, patience}, late: func() {}}
	p.cfg.TryGrace, p.cfg.Window = time.Hour, time.Hour
	p.start()
	defer p.stop()
	for _, step := range []struct {
		waited time.Duration // by then
		behind time.Duration // our own check
		want   bool
	}{
		{patience / 2, 0, false},
		{patience, 0, true},
		{patience * 3 / 2, 0, false},
		{2 * patience, 0, true},
		{4*patience + patience, 3 * patience, false},
		{5*patience + patience/2, 0, false},
		{6*patience + time.Second, 0, true},
	} {
		if p.since.IsZero() {
			p.wait()
		}
		now := time.Now()
		p.began, p.since = now.Add(-step.waited), now
		p.due = now.Add(-step.behind)
		if got := p.look(); got != step.want {
			t.Errorf("after %v, %v behind: late is %t", step.waited, step.behind, got)
		}
	}
}

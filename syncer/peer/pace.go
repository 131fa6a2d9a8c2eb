package peer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pace ends a try in which the peer is too slow (hazard 73), by cancelling the
// try's context with the cause. It measures only the time spent waiting for the
// peer: a slow disk of ours is not the peer's fault. One goroutine calls wait,
// got and begin; a timer's goroutine checks.
type pace struct {
	cfg    Config
	size   int64 // of the piece, bytes; negative: unknown
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu       sync.Mutex
	since    time.Time     // when the present waiting began; zero: not waiting
	spent    time.Duration // waited in this try
	total    int64         // bytes got in this try
	inBody   bool          // the speed counts only while a body is read
	windowed time.Duration // waited in this window
	windowN  int64         // bytes got in this window
}

func startPace(cfg Config, size int64, cancel context.CancelCauseFunc) *pace {
	p := &pace{cfg: cfg, size: size, cancel: cancel}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(min(cfg.Window, p.limit()), p.check)
	return p
}

// stop ends the watching. A check under way may still cancel the context.
func (p *pace) stop() { p.timer.Stop() }

// wait says that the peer has to do something now.
func (p *pace) wait() {
	p.mu.Lock()
	p.since = time.Now()
	p.mu.Unlock()
}

// got says that the peer has done it, and sent n bytes.
func (p *pace) got(n int) {
	p.mu.Lock()
	p.settle()
	p.since = time.Time{}
	p.total += int64(n)
	p.windowN += int64(n)
	p.mu.Unlock()
}

// body says whether what follows is the reading of a body. A window begins.
func (p *pace) body(reading bool) {
	p.mu.Lock()
	p.inBody, p.windowed, p.windowN = reading, 0, 0
	p.mu.Unlock()
}

// settle counts the waiting so far. The lock is held.
func (p *pace) settle() {
	if p.since.IsZero() {
		return
	}
	now := time.Now()
	d := now.Sub(p.since)
	p.since = now
	p.spent += d
	if p.inBody {
		p.windowed += d
	}
}

// limit is how long the whole try may wait. With an unknown size it grows with
// what has arrived. The lock is held.
func (p *pace) limit() time.Duration {
	n := p.size
	if n < 0 {
		n = p.total
	}
	seconds := float64(n) / float64(p.cfg.TrySpeed)
	return p.cfg.TryGrace + time.Duration(min(seconds, 1e9)*float64(time.Second))
}

func (p *pace) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	left := p.limit() - p.spent
	if left <= 0 {
		p.cancel(fmt.Errorf("%w: %d bytes in %v", ErrDeadline, p.total, p.spent.Round(time.Millisecond)))
		return
	}
	if p.windowed >= p.cfg.Window {
		if float64(p.windowN) < float64(p.cfg.MinSpeed)*p.windowed.Seconds() {
			p.cancel(fmt.Errorf("%w: %d bytes in %v", ErrTooSlow, p.windowN, p.windowed.Round(time.Millisecond)))
			return
		}
		p.windowed, p.windowN = 0, 0
	}
	p.timer.Reset(min(p.cfg.Window-p.windowed, left))
}

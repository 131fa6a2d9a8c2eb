package peer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pace ends a try in which the peer is too slow (hazard 73), by cancelling the
// try's context with the cause. It measures only the time spent waiting for the
// peer: a slow disk of ours is not the peer's fault. Long before that it says that
// a wait is getting late. One goroutine calls wait, got and body; a timer's
// goroutine checks.
type pace struct {
	cfg      Config
	size     int64 // of the piece, bytes; negative: unknown
	cancel   context.CancelCauseFunc
	patience [2]time.Duration // with one wait for an answer, and for bytes of a body; 0: for ever
	late     func()           // called each time the patience with a wait ends; it doubles then
	timer    *time.Timer

	mu       sync.Mutex
	since    time.Time     // up to when the present waiting is counted; zero: not waiting
	began    time.Time     // of the present wait
	again    time.Duration // into it, when late is called next
	due      time.Time     // of the next check
	longest  time.Duration // wait in a body
	spent    time.Duration // waited in this try
	total    int64         // bytes got in this try
	inBody   bool          // the speed counts only while a body is read
	windowed time.Duration // waited in this window
	windowN  int64         // bytes got in this window
}

// start begins the watching; stop ends it.
func (p *pace) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.next(p.limit())
	p.due = time.Now().Add(d)
	p.timer = time.AfterFunc(d, p.check)
}

// stop ends the watching. A check under way may still cancel the context.
func (p *pace) stop() { p.timer.Stop() }

// wait says that the peer has to do something now.
func (p *pace) wait() {
	p.mu.Lock()
	p.since = time.Now()
	p.began, p.again = p.since, p.patience[kind(p.inBody)]
	p.mu.Unlock()
}

// got says that the peer has done it, and sent n bytes. It returns how long that took.
func (p *pace) got(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	took := p.since.Sub(p.began)
	if p.inBody {
		p.longest = max(p.longest, took)
	}
	p.since = time.Time{}
	p.total += int64(n)
	p.windowN += int64(n)
	return took
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
	if p.look() {
		p.late()
	}
}

// look ends the try if it must, else it looks again in time. It reports whether the
// present wait is late.
func (p *pace) look() (late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	left := p.limit() - p.spent
	if left <= 0 {
		p.cancel(fmt.Errorf("%w: %d bytes in %v", ErrDeadline, p.total, p.spent.Round(time.Millisecond)))
		return false
	}
	if p.windowed >= p.cfg.Window {
		if float64(p.windowN) < float64(p.cfg.MinSpeed)*p.windowed.Seconds() {
			p.cancel(fmt.Errorf("%w: %d bytes in %v", ErrTooSlow, p.windowN, p.windowed.Round(time.Millisecond)))
			return false
		}
		p.windowed, p.windowN = 0, 0
	}
	now := time.Now()
	if waited := p.since.Sub(p.began); p.again > 0 && !p.since.IsZero() && waited >= p.again {
		// If we are late ourselves, it may be us who have too much to do, and the
		// answer may be there: the patience begins again.
		if late = now.Sub(p.due) < p.again/2; late {
			p.again *= 2
		} else {
			p.again = waited + p.patience[kind(p.inBody)]
		}
	}
	d := p.next(left)
	p.due = now.Add(d)
	p.timer.Reset(d)
	return late
}

// next is the time until something may have to be done. The lock is held.
func (p *pace) next(left time.Duration) time.Duration {
	d := min(p.cfg.Window-p.windowed, left)
	switch patience := p.patience[kind(p.inBody)]; {
	case patience == 0:
	case p.since.IsZero():
		d = min(d, patience)
	default:
		d = min(d, p.again-p.since.Sub(p.began))
	}
	return d
}

// kind is the place of a patience.
func kind(body bool) int {
	if body {
		return 1
	}
	return 0
}

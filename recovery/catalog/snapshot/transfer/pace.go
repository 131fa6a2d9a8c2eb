package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errSlow: a peer sends more slowly than it must (hazard 73).
var errSlow = errors.New("transfer: too slow")

// pace ends a request whose body arrives too slowly, by cancelling its context.
// It counts only the time in which the peer is waited for: a slow disk of ours
// is not the peer's fault. One goroutine reads; a timer's checks.
type pace struct {
	body   io.Reader
	speed  int64 // bytes a second, over each window
	window time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu    sync.Mutex
	since time.Time     // when the present read began; zero: none is under way
	spent time.Duration // reading, in this window
	bytes int64         // read, in this window
	err   error         // why the request was cancelled
}

func startPace(body io.Reader, speed int64, window time.Duration, cancel context.CancelCauseFunc) *pace {
	p := &pace{body: body, speed: speed, window: window, cancel: cancel}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(window, p.check)
	return p
}

// stop ends the watching. A check under way may still cancel the context.
func (p *pace) stop() { p.timer.Stop() }

// Read implements io.Reader.
func (p *pace) Read(b []byte) (int, error) {
	p.mu.Lock()
	p.since = time.Now()
	p.mu.Unlock()
	n, err := p.body.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent += time.Since(p.since)
	p.since = time.Time{}
	p.bytes += int64(n)
	if err != nil && p.err != nil {
		err = p.err // and not that a request was cancelled
	}
	return n, err
}

func (p *pace) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.since.IsZero() {
		now := time.Now()
		p.spent += now.Sub(p.since)
		p.since = now
	}
	if p.spent >= p.window {
		if float64(p.bytes) < float64(p.speed)*p.spent.Seconds() {
			p.err = fmt.Errorf("%w: %d bytes in %v", errSlow, p.bytes, p.spent.Round(time.Millisecond))
			p.cancel(p.err)
			return
		}
		p.spent, p.bytes = 0, 0
	}
	p.timer.Reset(p.window - p.spent)
}

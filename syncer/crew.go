package syncer

import "sync"

// crew is the goroutines that fly. One that has handed in waits for the next flight:
// beginning anew for each would cost more than a small blob's share of everything
// else, for a new goroutine's stack has to grow first. There are as many as ever flew
// at once, until close.
type crew struct {
	work    chan func()
	closing chan struct{}
	once    sync.Once // closes closing
	all     sync.WaitGroup
}

func newCrew() *crew {
	return &crew{work: make(chan func()), closing: make(chan struct{})}
}

// give has a flight flown and waits for nothing.
func (c *crew) give(flight func()) {
	select {
	case c.work <- flight: // somebody waits
	default:
		c.all.Go(func() { c.fly(flight) })
	}
}

func (c *crew) fly(flight func()) {
	for {
		flight()
		select {
		case flight = <-c.work:
		case <-c.closing:
			return
		}
	}
}

// close joins the goroutines. Nothing may be given any more. It may be called twice.
func (c *crew) close() {
	c.once.Do(func() { close(c.closing) })
	c.all.Wait()
}

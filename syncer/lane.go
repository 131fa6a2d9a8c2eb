package syncer

import (
	"sync"
	"time"
)

// lane is the barrier of one volume. Its goroutine owns all but the queue.
type lane struct {
	barrier *barrier
	volume  Volume
	queue   queue
	wake    chan struct{} // look again; holds one
	timer   *time.Timer
	// Scratch for the arguments of Flush.
	data, names []Draft
}

func newLane(b *barrier, v Volume) *lane {
	return &lane{barrier: b, volume: v, wake: make(chan struct{}, 1)}
}

// add queues a ticket, for which there is room.
func (l *lane) add(t ticket) {
	n, bytes := l.queue.add(t)
	if n == 1 || l.full(n, bytes) {
		l.wakeUp()
	}
}

func (l *lane) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// run makes group after group durable until the barrier is closed and nothing
// is left.
func (l *lane) run() {
	l.timer = time.NewTimer(l.barrier.cfg.Idle)
	defer l.timer.Stop()
	var spare, named []ticket // named: published, their names not flushed yet
	for {
		group := l.collect(spare, len(named) > 0)
		if len(group)+len(named) == 0 {
			return
		}
		published := l.commit(group, named)
		clear(named)
		spare, named = named[:0], published
	}
}

// collect waits for the next group to close and takes it; spare becomes the
// queue's new array. The group is empty when there is something better to do
// than to wait: names to flush, or to end.
func (l *lane) collect(spare []ticket, namesWait bool) []ticket {
	b := l.barrier
	for l.queue.empty() {
		if namesWait || b.closing.Load() {
			return nil
		}
		<-l.wake
	}
	seen := b.feeders.entered.Load()
	l.timer.Reset(l.tick())
	for !l.closed() {
		select {
		case <-l.wake:
		case <-l.timer.C:
			if b.feeders.idleSince(seen) {
				return l.queue.take(spare)
			}
			seen = b.feeders.entered.Load()
			l.timer.Reset(l.tick())
		}
	}
	return l.queue.take(spare)
}

// closed reports whether the group that is collecting takes no more: it is full
// or old, nobody can join it, or there is nothing to wait for any more.
func (l *lane) closed() bool {
	b := l.barrier
	n, bytes, age := l.queue.look()
	return l.full(n, bytes) || age >= b.cfg.Delay || b.room.starved() ||
		b.closing.Load() || b.failed.get() != nil
}

// full: half of the room is used, so that the next group has the other half.
func (l *lane) full(n int, bytes int64) bool {
	return 2*n >= l.barrier.cfg.Blobs || 2*bytes >= l.barrier.cfg.Bytes
}

// tick is when to look whether the run is idle, or the group old.
func (l *lane) tick() time.Duration {
	_, _, age := l.queue.look()
	return min(l.barrier.cfg.Idle, max(l.barrier.cfg.Delay-age, 0))
}

// commit flushes, answers named, and publishes group, of which it returns what
// was published. The room of all of group is free after it.
func (l *lane) commit(group, named []ticket) []ticket {
	b := l.barrier
	if b.failed.get() == nil {
		l.data, l.names = drafts(l.data, group), drafts(l.names, named)
		if err := l.volume.Flush(l.data, l.names); err != nil {
			b.fail(err)
		}
		clear(l.data)
		clear(l.names)
	}
	// Another volume's failure counts as well: nothing more is acknowledged.
	if err := b.failed.get(); err != nil {
		for _, t := range named {
			t.owner.answered(err)
		}
		for _, t := range group {
			l.refuse(t, err)
		}
		clear(group)
		return group[:0]
	}
	for _, t := range named {
		t.owner.answered(nil)
	}
	return l.publish(group)
}

// publish gives the drafts of a durable group their final names. One that does
// not take it is refused alone.
func (l *lane) publish(group []ticket) []ticket {
	published := group[:0]
	for _, t := range group {
		if err := t.draft.Publish(); err != nil {
			l.refuse(t, storeError("publish", err))
			continue
		}
		l.barrier.room.release(t.size)
		published = append(published, t)
	}
	clear(group[len(published):])
	return published
}

// refuse ends a draft that was not published. What cannot be removed now is
// removed with the other leftovers when the store is opened next.
func (l *lane) refuse(t ticket, err error) {
	_ = t.draft.Discard()
	l.barrier.room.release(t.size)
	t.owner.answered(err)
}

// drafts fills buf with the drafts of the tickets.
func drafts(buf []Draft, tickets []ticket) []Draft {
	buf = buf[:0]
	for _, t := range tickets {
		buf = append(buf, t.draft)
	}
	return buf
}

// queue holds the tickets of the group that is collecting.
type queue struct {
	mu      sync.Mutex
	tickets []ticket
	bytes   int64
	since   time.Time // when the first one came
}

func (q *queue) add(t ticket) (n int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.tickets) == 0 {
		q.since = time.Now()
	}
	q.tickets = append(q.tickets, t)
	q.bytes += t.size
	return len(q.tickets), q.bytes
}

// take empties the queue, whose array it returns; spare takes its place.
func (q *queue) take(spare []ticket) []ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	tickets := q.tickets
	q.tickets, q.bytes = spare[:0], 0
	return tickets
}

func (q *queue) look() (n int, bytes int64, age time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.tickets), q.bytes, time.Since(q.since)
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.tickets) == 0
}

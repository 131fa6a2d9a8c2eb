package checkpoint

import (
	"context"
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// Saver is what a Writer writes to: a Store, a Nop, or an embedder's own. It is
// called by one goroutine at a time.
type Saver interface {
	Save(recovery.Record) error
	Reset(recovery.Record) error
}

// maxQueued bounds the writes that wait. Saves coalesce, so only a caller that
// resets without end gets there.
const maxQueued = 64

// Writer keeps a Saver's waiting off its callers. Records are written in the
// order in which they were handed in, but for saves that a newer save makes
// needless: of saves that wait with no reset between them only the newest is
// written. A reset is always written. The first error sticks: nothing is written
// after it, and every later answer is that error (I12).
//
// Its methods may be called from many goroutines.
type Writer struct {
	saver Saver
	queue *writeQueue
	ended chan struct{} // closed when the goroutine has ended
}

// NewWriter starts a writer. Close ends it; the saver stays open.
func NewWriter(s Saver) *Writer {
	w := &Writer{saver: s, queue: newWriteQueue(), ended: make(chan struct{})}
	go w.run()
	return w
}

// Save hands in a record that claims more. done, which may be nil, is called
// once: by the writer's goroutine, when this record or a later one that replaced
// it is durable, or with the error; after Close at once, with ErrClosed. It must
// not block or call the Writer. The record must not be changed any more.
func (w *Writer) Save(r recovery.Record, done func(error)) {
	w.queue.put(&write{record: r}, done)
}

// Reset hands in a record that claims less (see Store.Reset). done is as for
// Save. It waits while maxQueued writes do.
func (w *Writer) Reset(r recovery.Record, done func(error)) {
	w.queue.put(&write{record: r, less: true}, done)
}

// Flush returns when everything that was handed in before is durable, or with
// the writer's first error, or ctx's.
func (w *Writer) Flush(ctx context.Context) error {
	reached := make(chan error, 1)
	w.queue.barrier(func(err error) { reached <- err })
	select {
	case err := <-reached:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what waits, ends the goroutine and returns the first error.
// Afterwards Save and Reset answer ErrClosed.
func (w *Writer) Close() error {
	w.queue.close()
	<-w.ended
	return w.queue.failure()
}

func (w *Writer) run() {
	defer close(w.ended)
	for {
		next, ok := w.queue.take()
		if !ok {
			return
		}
		err := w.queue.failure()
		switch {
		case err != nil: // it sticks
		case next.less:
			err = w.saver.Reset(next.record)
		default:
			err = w.saver.Save(next.record)
		}
		for _, answer := range w.queue.finish(err) {
			answer(err)
		}
	}
}

// write is one record that waits, and everyone who waits for it.
type write struct {
	record  recovery.Record
	less    bool
	answers []func(error)
}

// writeQueue holds the writes that wait, and the one under way.
type writeQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	waiting []*write
	current *write // under way, or nil
	err     error  // the first one
	closed  bool
}

func newWriteQueue() *writeQueue {
	q := &writeQueue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// put adds a write, or lets it take the place of the newest that waits.
func (q *writeQueue) put(w *write, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	if err := q.admit(w, done); err != nil {
		done(err)
	}
}

func (q *writeQueue) admit(w *write, done func(error)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return ErrClosed
		}
		if last := q.last(); last != nil && !last.less && !w.less {
			last.record = w.record
			last.answers = append(last.answers, done)
			return nil
		}
		if len(q.waiting) < maxQueued {
			break
		}
		q.changed.Wait()
	}
	w.answers = []func(error){done}
	q.waiting = append(q.waiting, w)
	q.changed.Broadcast()
	return nil
}

func (q *writeQueue) last() *write {
	if n := len(q.waiting); n > 0 {
		return q.waiting[n-1]
	}
	return nil
}

// barrier has reached called when everything handed in so far is written; at
// once if it is.
func (q *writeQueue) barrier(reached func(error)) {
	if err, now := q.join(reached); now {
		reached(err)
	}
}

func (q *writeQueue) join(reached func(error)) (err error, now bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := q.last()
	if last == nil {
		last = q.current
	}
	if last == nil {
		return q.err, true
	}
	last.answers = append(last.answers, reached)
	return nil, false
}

// take waits for the next write; ok is false once the queue is closed and empty.
func (q *writeQueue) take() (w *write, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil, false
		}
		q.changed.Wait()
	}
	q.current = q.waiting[0]
	q.waiting = q.waiting[1:]
	q.changed.Broadcast()
	return q.current, true
}

// finish ends the write under way and returns who is to be told.
func (q *writeQueue) finish(err error) []func(error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	answers := q.current.answers
	q.current = nil
	return answers
}

func (q *writeQueue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

func (q *writeQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}

package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer"
)

func TestQuestionsAfterTheEnd(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		p := w.start(exitWhenComplete)
		p.finish(time.Minute)
		if list, err := p.worker.Unsettled(t.Context()); !errors.Is(err, worker.ErrEnded) {
			t.Errorf("Unsettled: %v, %v", list, err)
		}
		if s := p.worker.Status(); s.Phase != recovery.PhaseComplete || s.Counters.Stored != 5 {
			t.Errorf("the last status is %v, %d stored", s.Phase, s.Counters.Stored)
		}
		if _, err := p.worker.Run(t.Context()); err == nil {
			t.Error("Run ran twice")
		}
	})
}

// hung is a checkpoint that breaks its contract: Reset does not return before it
// is released.
type hung struct{ release chan struct{} }

func (hung) Load() (recovery.Loaded, error)    { return recovery.Loaded{}, nil }
func (hung) Save(recovery.Record, func(error)) {}
func (h hung) Reset(_ recovery.Record, done func(error)) {
	<-h.release
	done(errCut)
}

// Status answers whatever the loop does; a question to the loop ends with its
// context.
func TestStatusNeverBlocks(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		port := hung{make(chan struct{})}
		time.AfterFunc(time.Hour, func() { close(port.release) }) // so that the test ends
		p := w.start(func(s *setup) { s.worker.Checkpoint = port })
		time.Sleep(time.Minute)
		if since := time.Since(p.worker.LastTurn()); since < 59*time.Second {
			t.Fatalf("the loop turned %v ago: it does not hang", since)
		}
		began := time.Now()
		if s := p.worker.Status(); s.Started.IsZero() || time.Since(began) > 0 {
			t.Errorf("Status took %v: %+v", time.Since(began), s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.worker.Unsettled(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Unsettled: %v", err)
		}
	})
}

// sluggish is a checkpoint that holds up the loop for a second at each write, and
// keeps nothing.
type sluggish struct{}

func (sluggish) Load() (recovery.Loaded, error) { return recovery.Loaded{}, nil }
func (sluggish) Save(_ recovery.Record, done func(error)) {
	time.Sleep(time.Second)
	done(nil)
}
func (s sluggish) Reset(r recovery.Record, done func(error)) { s.Save(r, done) }

// More answers than the loop takes in one turn, and more than its queue holds,
// wait for it at once, and none is lost.
func TestMoreEventsThanABatch(t *testing.T) {
	const blobs = 1_000
	inWorld(t, blobs, func(t *testing.T, w *world) {
		p := w.start(limits(blobs, 10), taking(100*time.Millisecond), exitWhenComplete, func(s *setup) {
			s.syncer.Barrier = syncer.BarrierConfig{Blobs: 4 * blobs}
			s.worker.Checkpoint = sluggish{}
		})
		p.finish(10 * time.Second)
		if n := p.worker.Status().Counters.Stored; n != blobs {
			t.Errorf("%d blobs are stored", n)
		}
	})
}

func TestConfig(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		var good worker.Config
		w.start(func(s *setup) { good = s.worker }).stop()
		good.Checkpoint, good.Store, good.Syncer = hung{}, newPageCache(), &syncer.Handler{}
		if err := good.Validate(); err != nil {
			t.Fatal(err)
		}
		for name, spoil := range map[string]func(*worker.Config){
			"Checkpoint": func(c *worker.Config) { c.Checkpoint = nil },
			"Ownership":  func(c *worker.Config) { c.Ownership = nil },
			"Catalog":    func(c *worker.Config) { c.Catalog = nil },
			"Store":      func(c *worker.Config) { c.Store = nil },
			"Syncer":     func(c *worker.Config) { c.Syncer = nil },
			"Delays":     func(c *worker.Config) { c.Delays = nil },
		} {
			bad := good
			spoil(&bad)
			if _, err := worker.New(bad); !errors.Is(err, worker.ErrConfig) {
				t.Errorf("without %s: %v", name, err)
			}
		}
		good.Machine.Slots = -1
		if _, err := worker.New(good); !errors.Is(err, recovery.ErrConfig) {
			t.Errorf("with -1 slots: %v", err)
		}
	})
}

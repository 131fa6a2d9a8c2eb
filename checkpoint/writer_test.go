package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a saver that waits to be let through, and keeps what it was given.
type gate struct {
	pass chan error // one value lets one write through
	mu   sync.Mutex
	log  []string
}

func newGate() *gate { return &gate{pass: make(chan error, 1_000)} }

func (g *gate) Save(r recovery.Record) error  { return g.write("save", r) }
func (g *gate) Reset(r recovery.Record) error { return g.write("reset", r) }

func (g *gate) write(how string, r recovery.Record) error {
	err := <-g.pass
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, fmt.Sprint(how, " ", r.Progress.Epoch))
	return err
}

func (g *gate) written() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.log)
}

// numbered returns a record that a test can tell from others.
func numbered(n uint32) recovery.Record {
	return recovery.Record{Progress: &recovery.Progress{Epoch: n}}
}

func TestWriterCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := NewWriter(g)
		var told []uint32
		for i := range uint32(10) {
			w.Save(numbered(i), func(err error) {
				if err != nil {
					t.Error(err)
				}
				told = append(told, i)
			})
			if i == 0 {
				synctest.Wait() // the first write is under way
			}
		}
		g.pass <- nil
		synctest.Wait()
		if !slices.Equal(told, []uint32{0}) {
			t.Errorf("after the first write %v were told", told)
		}
		g.pass <- nil
		synctest.Wait()
		if !slices.Equal(told, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("told: %v", told)
		}
		if got := g.written(); !slices.Equal(got, []string{"save 0", "save 9"}) {
			t.Errorf("written: %v", got)
		}
		must(t, w.Close())
	})
}

func TestWriterKeepsResetsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := NewWriter(g)
		w.Save(numbered(0), nil)
		synctest.Wait()
		w.Save(numbered(1), nil)
		w.Save(numbered(2), nil)
		w.Reset(numbered(3), nil)
		w.Reset(numbered(4), nil)
		w.Save(numbered(5), nil)
		w.Save(numbered(6), nil)
		for range 10 {
			g.pass <- nil
		}
		must(t, w.Flush(t.Context()))
		want := []string{"save 0", "save 2", "reset 3", "reset 4", "save 6"}
		if got := g.written(); !slices.Equal(got, want) {
			t.Errorf("written: %v, want %v", got, want)
		}
		must(t, w.Close())
	})
}

// Whatever is handed in, what was flushed is written, in order, and everyone is
// told once, after their record or a newer one.
func TestWriterHistories(t *testing.T) {
	evidence.Property(t, "codec: the writer writes what was flushed, in order, and tells everyone once", func(t *rapid.T) {
		g := newGate()
		close(g.pass)
		w := NewWriter(g)
		told := 0
		var resets []string
		var last string
		n := rapid.IntRange(0, 30).Draw(t, "writes")
		for i := range uint32(n) {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				last = fmt.Sprint("reset ", i)
				resets = append(resets, last)
				w.Reset(numbered(i), func(error) { told++ })
			} else {
				last = fmt.Sprint("save ", i)
				w.Save(numbered(i), func(error) { told++ })
			}
			if rapid.IntRange(0, 4).Draw(t, "flush") == 0 {
				if err := w.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got := g.written(); got[len(got)-1] != last {
					t.Fatalf("flushed after %s: %v", last, got)
				}
			}
		}
		if err := w.Close(); err != nil || told != n {
			t.Fatalf("%v; %d of %d were told", err, told, n)
		}
		got := g.written()
		if n > 0 && got[len(got)-1] != last {
			t.Fatalf("the last one was %s: %v", last, got)
		}
		if r := slices.DeleteFunc(got, func(s string) bool { return s[0] == 's' }); !slices.Equal(r, resets) {
			t.Fatalf("resets: %v, want %v", r, resets)
		}
	})
}

// Hazard 45: the first error sticks, and nothing is written after it.
func TestWriterFirstErrorSticks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, g := errors.New("first"), newGate()
		w := NewWriter(g)
		var told []error
		tell := func(err error) { told = append(told, err) }
		w.Save(numbered(0), tell)
		synctest.Wait()
		w.Reset(numbered(1), tell)
		w.Save(numbered(2), tell)
		g.pass <- first
		g.pass <- nil
		synctest.Wait()
		w.Save(numbered(3), tell)
		if err := w.Flush(t.Context()); !errors.Is(err, first) {
			t.Errorf("Flush: %v", err)
		}
		if err := w.Close(); !errors.Is(err, first) {
			t.Errorf("Close: %v", err)
		}
		if len(told) != 4 || slices.ContainsFunc(told, func(err error) bool { return !errors.Is(err, first) }) {
			t.Errorf("told: %v", told)
		}
		if got := g.written(); !slices.Equal(got, []string{"save 0"}) {
			t.Errorf("written: %v", got)
		}
	})
}

func TestWriterFlushIsABarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := NewWriter(g)
		must(t, w.Flush(t.Context())) // nothing was handed in
		w.Save(numbered(0), nil)
		synctest.Wait()
		w.Save(numbered(1), nil)
		flushed := make(chan error, 1)
		go func() { flushed <- w.Flush(t.Context()) }()
		synctest.Wait()
		g.pass <- nil
		synctest.Wait()
		select {
		case <-flushed:
			t.Error("Flush returned before the second write was durable")
		default:
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.Flush(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Flush under a cancelled context: %v", err)
		}
		g.pass <- nil
		must(t, <-flushed)
		must(t, w.Close())
	})
}

func TestWriterCloseWritesWhatWaits(t *testing.T) {
	g := newGate()
	close(g.pass)
	w := NewWriter(g)
	told := 0
	w.Reset(numbered(1), func(error) { told++ })
	w.Save(numbered(2), func(error) { told++ })
	must(t, w.Close())
	must(t, w.Close())
	if got := g.written(); told != 2 || !slices.Equal(got, []string{"reset 1", "save 2"}) {
		t.Errorf("%d told, written: %v", told, got)
	}
	w.Save(numbered(3), func(err error) {
		if told++; !errors.Is(err, ErrClosed) {
			t.Errorf("Save after Close: %v", err)
		}
	})
	if told != 3 {
		t.Error("Save after Close did not answer")
	}
	must(t, w.Flush(t.Context()))
}

// The queue is bounded: a caller that resets without end waits.
func TestWriterQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		w := NewWriter(g)
		handed := 0
		go func() {
			for range 2 * maxQueued {
				w.Reset(numbered(0), nil)
				handed++
			}
		}()
		synctest.Wait()
		if handed != maxQueued+1 { // and the one under way
			t.Errorf("%d were taken, want %d", handed, maxQueued+1)
		}
		close(g.pass)
		synctest.Wait()
		must(t, w.Close())
		if n := len(g.written()); n != 2*maxQueued {
			t.Errorf("%d were written", n)
		}
	})
}

func TestWriterOverAStore(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	w := NewWriter(s)
	h := recordtest.NewHistory(1, 20)
	var last recovery.Record
	for range 60 {
		step := h.Next()
		last = step.Record
		if step.Less {
			w.Reset(step.Record, nil)
		} else {
			w.Save(step.Record, nil)
		}
	}
	must(t, w.Close())
	must(t, s.Close())
	s = mustOpen(t, dir)
	got, _, err := s.Load()
	if diff := recordtest.Diff(last, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	must(t, s.Close())
}

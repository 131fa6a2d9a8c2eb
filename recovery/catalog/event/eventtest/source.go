package eventtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/event"
)

// Subject is a source under test, and the way to make it longer.
type Subject struct {
	Source event.Source
	// Append adds events behind those there are.
	Append func(t testing.TB, events []event.Event)
}

// RunSource runs the contract. open returns a source of the events; it registers
// with t what has to be closed besides the source.
func RunSource(t *testing.T, open func(t *testing.T, events []event.Event) Subject) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, func([]event.Event) Subject)
	}{
		{"reads", testReads}, {"empty", testEmpty}, {"grows", testGrows}, {"behind", testBehind},
		{"begins later", testBeginsLater}, {"hole", testHole}, {"changed", testChanged}, {"cancelled", testCancelled}, {"closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t, func(events []event.Event) Subject {
				s := open(t, events)
				t.Cleanup(func() {
					if err := s.Source.Close(); err != nil {
						t.Error(err)
					}
				})
				return s
			})
		})
	}
}

// read wants events without an error.
func read(t *testing.T, s event.Source, after uint64, limit int, want []event.Event, wantTip uint64) {
	t.Helper()
	got, tip, err := s.Read(t.Context(), after, limit)
	if err != nil {
		t.Fatalf("Read after %d: %v", after, err)
	}
	if len(want) > limit {
		want = want[:limit]
	}
	if !slices.Equal(want, got) {
		t.Fatalf("Read after %d, at most %d (-want +got):\n%s", after, limit, cmp.Diff(want, got))
	}
	if wantTip != 0 && tip != wantTip {
		t.Fatalf("Read after %d: the tip is %d, want %d", after, tip, wantTip)
	}
}

// testReads reads from everywhere, in every order, a little and much at a time.
func testReads(t *testing.T, open func([]event.Event) Subject) {
	events := New(1, "eventtest").Take(2500)
	s := open(events).Source
	for _, limit := range []int{1, 7, 1000, 2499, 2500, 4000} {
		for after := 0; after < len(events) && (limit > 1 || after < 50); after += limit {
			read(t, s, uint64(after), limit, events[after:], 0)
		}
	}
	for _, after := range []int{2499, 0, 1250, 1249, 1251, 3, 2000, 1999} {
		read(t, s, uint64(after), 3, events[after:], 0)
	}
	if _, tip, err := s.Read(t.Context(), 0, 5000); err != nil || tip != 2500 {
		t.Errorf("the tip is %d, %v", tip, err)
	}
	read(t, s, 2500, 10, nil, 2500)
}

func testEmpty(t *testing.T, open func([]event.Event) Subject) {
	s := open(nil)
	read(t, s.Source, 0, 10, nil, 0)
	events := New(2, "eventtest").Take(3)
	s.Append(t, events)
	read(t, s.Source, 0, 10, events, 3)
}

func testGrows(t *testing.T, open func([]event.Event) Subject) {
	h := New(3, "eventtest")
	all := h.Take(5)
	s := open(all)
	for range 40 {
		after := len(all)
		read(t, s.Source, uint64(after), 100, nil, uint64(after))
		more := h.Take(1 + after%13)
		all = append(all, more...)
		s.Append(t, more)
		read(t, s.Source, uint64(after), 100, more, uint64(len(all)))
	}
	read(t, s.Source, 0, len(all), all, 0)
}

// testBehind asks for what comes after events that are not there yet.
func testBehind(t *testing.T, open func([]event.Event) Subject) {
	events := New(4, "eventtest").Take(30)
	s := open(events[:10])
	for range 2 {
		if got, tip, err := s.Source.Read(t.Context(), 20, 5); err != nil || len(got) > 0 || tip > 20 {
			t.Fatalf("after 20, with 10 there: %d events, tip %d, %v", len(got), tip, err)
		}
	}
	s.Append(t, events[10:15])
	read(t, s.Source, 20, 5, nil, 0)
	s.Append(t, events[15:])
	read(t, s.Source, 20, 5, events[20:], 0)
	read(t, s.Source, 12, 5, events[12:], 0)
}

// testBeginsLater: what is not there any more is missing, by its number.
func testBeginsLater(t *testing.T, open func([]event.Event) Subject) {
	events := New(5, "eventtest").Take(30)
	s := open(events[10:]).Source
	read(t, s, 10, 5, events[10:], 0)
	wantMissing(t, s, 4, 5)
	wantMissing(t, s, 9, 10)
}

func testHole(t *testing.T, open func([]event.Event) Subject) {
	events := New(6, "eventtest").Take(30)
	s := open(events[:12])
	s.Append(t, events[14:])
	read(t, s.Source, 5, 7, events[5:12], 0)
	wantMissing(t, s.Source, 12, 13)
	wantMissing(t, s.Source, 13, 14)
	read(t, s.Source, 14, 100, events[14:], 30)
}

func wantMissing(t *testing.T, s event.Source, after, first uint64) {
	t.Helper()
	for range 2 { // it is no better the second time
		got, _, err := s.Read(t.Context(), after, 5)
		var missing *event.MissingError
		if !errors.As(err, &missing) || missing.First != first || len(got) > 0 {
			t.Fatalf("after %d: %d events, error %v, want event %d to be missing", after, len(got), err, first)
		}
	}
}

func testChanged(t *testing.T, open func([]event.Event) Subject) {
	h := New(7, "eventtest")
	s := open(h.Take(3))
	after := uint64(3)
	for round := range 5 {
		read(t, s.Source, after, 10, nil, after)
		woken := make(chan error, 1)
		more := h.Take(2)
		if round%2 == 0 { // else it is there before it is waited for
			go func() { woken <- follow(t.Context(), s.Source, after) }()
		}
		s.Append(t, more)
		if round%2 == 1 {
			go func() { woken <- follow(t.Context(), s.Source, after) }()
		}
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		read(t, s.Source, after, 10, more, after+2)
		after += 2
	}
}

// follow waits until there are events beyond a position.
func follow(ctx context.Context, s event.Source, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if err := s.Changed(ctx); err != nil {
			return err
		}
		if got, _, err := s.Read(ctx, after, 1); err != nil || len(got) > 0 {
			return err
		}
	}
}

func testCancelled(t *testing.T, open func([]event.Event) Subject) {
	s := open(New(8, "eventtest").Take(3)).Source
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Read(ctx, 0, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Read with a cancelled context: %v", err)
	}
	if err := s.Changed(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Changed with a cancelled context: %v", err)
	}
}

func testClosed(t *testing.T, open func([]event.Event) Subject) {
	s := open(New(9, "eventtest").Take(3)).Source
	woken := make(chan error, 1)
	go func() {
		for {
			if err := s.Changed(t.Context()); err != nil {
				woken <- err
				return
			}
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; !errors.Is(err, event.ErrClosed) {
		t.Errorf("Changed, woken by Close: %v", err)
	}
	if _, _, err := s.Read(t.Context(), 0, 1); !errors.Is(err, event.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

package file

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// testTrigger has the default times, and events that happen at the given moments
// of the bubble's clock; some of them are troubles of the watch.
func testTrigger(t *testing.T, at ...time.Duration) trigger {
	c := Config{}.withDefaults()
	events := make(chan fsnotify.Event)
	troubles := make(chan error)
	begun := time.Now()
	go func() {
		for i, d := range at {
			select {
			case <-t.Context().Done():
				return
			case <-time.After(time.Until(begun.Add(d))):
			}
			event, trouble := events, troubles
			if i%2 == 0 {
				event = nil
			} else {
				trouble = nil
			}
			select {
			case <-t.Context().Done():
				return
			case event <- fsnotify.Event{}:
			case trouble <- fsnotify.ErrEventOverflow:
			}
		}
	}()
	return trigger{debounce: c.Debounce, reread: c.Reread, events: events, errors: troubles}
}

// every returns moments from d to limit, d apart.
func every(d, limit time.Duration) (at []time.Duration) {
	for m := d; m <= limit; m += d {
		at = append(at, m)
	}
	return at
}

func TestTrigger(t *testing.T) {
	const ms = time.Millisecond
	for _, tc := range []struct {
		name string
		at   []time.Duration
		want time.Duration
	}{
		{"nothing happens", nil, 30 * time.Second},
		{"one event", []time.Duration{5 * ms}, 105 * ms},
		{"a burst", []time.Duration{5 * ms, 6 * ms, 90 * ms, 180 * ms}, 280 * ms},
		{"two bursts", []time.Duration{5 * ms, 200 * ms}, 105 * ms},
		{"a directory that is never quiet", every(50*ms, 10*time.Second), 1050 * ms},
		{"the last moment", []time.Duration{30*time.Second - ms}, 30*time.Second + 99*ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				trigger := testTrigger(t, tc.at...)
				begun := time.Now()
				if err := trigger.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(begun); got != tc.want {
					t.Errorf("looked after %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestTriggerEndsWithItsContext(t *testing.T) {
	for _, at := range [][]time.Duration{nil, every(50*time.Millisecond, time.Second)} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
			defer cancel()
			if err := testTrigger(t, at...).wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's error", err)
			}
		})
	}
}

// Without a watch there is nothing but the interval.
func TestTriggerWithoutAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := (trigger{debounce: time.Second, reread: time.Minute}).wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun); got != time.Minute {
			t.Errorf("looked after %v, want a minute", got)
		}
	})
}

package eventlog

import (
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// TestWhereToLook: the places where a stretch ends are the same however the events
// are cut.
func TestWhereToLook(t *testing.T) {
	events := make([]event.Event, 1000)
	for i := range events {
		events[i] = event.Event{Position: uint64(i) + 1, Kind: event.Certify}
	}
	events[122].Kind = event.EpochStarted
	for _, c := range []struct {
		name string
		when cadence
		tip  uint64
		want []uint64
	}{
		{"never", cadence{}, 1000, nil},
		{"epochs", cadence{epochs: true}, 0, []uint64{123}},
		{"full", cadence{full: 300}, 0, []uint64{300, 600, 900}},
		{"behind the tip", cadence{full: 300, incr: 100}, 5000, []uint64{300, 600, 900}},
		{"at the tip", cadence{incr: 100}, 1000, []uint64{1000}},
		{"near the tip", cadence{incr: 100}, 1050, []uint64{1000}},
		{"a tip nobody knows", cadence{incr: 100}, 0, nil},
		{"all", cadence{epochs: true, full: 400, incr: 90, stopAt: 950}, 960, []uint64{123, 400, 800, 900}},
	} {
		for _, batch := range []int{1, 7, 1000} {
			var ends []uint64
			for rest := events; len(rest) > 0; {
				part := rest[:min(batch, len(rest))]
				n := c.when.stretch(part, c.tip)
				last := part[n-1].Position
				if c.when.stopAt != 0 && last >= c.when.stopAt {
					if last != c.when.stopAt {
						t.Errorf("%s: stops at %d", c.name, last)
					}
					break
				}
				if c.when.after(&meta{Stamp: recovery.Stamp{Position: last}, Clean: true}, part[n-1].Kind, c.tip).kind != 0 {
					ends = append(ends, last)
				} else if n < len(part) {
					t.Errorf("%s: looks at %d for nothing", c.name, last)
				}
				rest = rest[n:]
			}
			if !slices.Equal(ends, c.want) {
				t.Errorf("%s, batches of %d: %v, want %v", c.name, batch, ends, c.want)
			}
		}
	}
}

// TestWhatIsWished: an incremental needs a clean base of the same epoch.
func TestWhatIsWished(t *testing.T) {
	when := cadence{epochs: true, full: 1000, incr: 100, stopAt: 5000}
	at := func(position, base uint64) *meta {
		return &meta{
			Stamp: recovery.Stamp{Position: position, Epoch: 3}, Clean: true,
			Base: recovery.Bound{Stamp: recovery.Stamp{Position: base, Epoch: 3}},
		}
	}
	older, unclean, made := at(2100, 2000), at(2100, 2000), at(2100, 0)
	older.Base.Epoch, unclean.Clean, made.Made = 2, false, true
	for name, c := range map[string]struct{ got, want wish }{
		"stop":              {when.after(at(5000, 4000), event.Certify, 0), wish{snapshot.Full, true}},
		"epoch":             {when.after(at(2101, 2000), event.EpochStarted, 0), wish{snapshot.Full, true}},
		"full":              {when.after(at(3000, 2000), event.Certify, 0), wish{snapshot.Full, false}},
		"incremental":       {when.after(at(2100, 2000), event.Certify, 2100), wish{snapshot.Incremental, false}},
		"not at the tip":    {when.after(at(2100, 2000), event.Certify, 9000), wish{}},
		"no multiple":       {when.after(at(2101, 2000), event.Certify, 2101), wish{}},
		"older epoch":       {when.after(older, event.Certify, 2100), wish{snapshot.Full, false}},
		"unclean":           {when.after(unclean, event.Certify, 2100), wish{snapshot.Full, false}},
		"in no file":        {when.after(made, event.Certify, 2100), wish{snapshot.Full, false}},
		"idle, full due":    {when.idle(at(3210, 2000), 3200), wish{snapshot.Full, false}},
		"idle, incr due":    {when.idle(at(2350, 2000), 2200), wish{snapshot.Incremental, false}},
		"idle, made":        {when.idle(at(2250, 2000), 2200), wish{}},
		"idle, of the base": {when.idle(at(2250, 2200), 2200), wish{}},
		"idle, never":       {cadence{}.idle(at(9000, 1), 0), wish{}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
}

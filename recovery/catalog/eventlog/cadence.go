package eventlog

import (
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// cadence says when snapshots are made. It is pure.
type cadence struct {
	epochs     bool
	full, incr uint64 // positions between two; 0: never
	stopAt     uint64 // 0: nowhere
}

func (c Config) cadence() cadence {
	every := func(n int64) uint64 { return uint64(max(0, n)) }
	return cadence{epochs: c.EpochSnapshots, full: every(c.FullEvery), incr: every(c.IncrEvery), stopAt: c.StopAt}
}

// stretch returns how many of the events, which follow one another, are applied
// before something has to be looked at: the place to stop, an epoch that begins,
// a multiple of an interval. Where to look does not depend on how the events were
// cut into batches.
func (c cadence) stretch(events []event.Event, tip uint64) int {
	for i := range events {
		e := &events[i]
		if c.stopAt != 0 && e.Position >= c.stopAt || c.epochs && e.Kind == event.EpochStarted ||
			multiple(e.Position, c.full) || c.lastBefore(tip, e.Position) {
			return i + 1
		}
	}
	return len(events)
}

// lastBefore reports whether an incremental is due at a position, given the tip:
// while the catalog catches up only the last one before the tip is.
func (c cadence) lastBefore(tip, position uint64) bool {
	return multiple(position, c.incr) && tip < position+c.incr && tip >= position
}

func multiple(position, every uint64) bool { return every != 0 && position%every == 0 }

// wish is a snapshot that is to be made. Must: at this very position, so a
// snapshot under way is waited for; else the wish is dropped, and comes again.
type wish struct {
	kind snapshot.Kind // 0: none
	must bool
}

// after says what is to be made after a stretch, the last event of which was of
// that kind.
func (c cadence) after(m *meta, last event.Kind, tip uint64) wish {
	switch {
	case c.stopAt != 0 && m.Position >= c.stopAt:
		return wish{snapshot.Full, true}
	case c.epochs && last == event.EpochStarted:
		return wish{snapshot.Full, true} // hazard 94: whatever the event looks like
	case multiple(m.Position, c.full):
		return wish{kind: snapshot.Full}
	case c.lastBefore(tip, m.Position):
		return c.incremental(m)
	}
	return wish{}
}

// idle says what is to be made when the catalog has caught up and nothing comes:
// what became due on the way, and what could not be made when it was. made is
// the position of the newest incremental.
func (c cadence) idle(m *meta, made uint64) wish {
	switch since := m.Position - m.Base.Position; {
	case c.full != 0 && since >= c.full:
		return wish{kind: snapshot.Full}
	case c.incr != 0 && since >= c.incr && m.Position-max(made, m.Base.Position) >= c.incr:
		return c.incremental(m)
	}
	return wish{}
}

// incremental is the wish for an incremental snapshot. Where its base holds what
// has ended since, or is in no file, a full one is made in its place: it leaves
// that behind, and costs one pass as well.
func (c cadence) incremental(m *meta) wish {
	if m.Made || !m.Clean || m.Epoch != m.Base.Epoch {
		return wish{kind: snapshot.Full}
	}
	return wish{kind: snapshot.Incremental}
}

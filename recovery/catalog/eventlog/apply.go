package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// eventFill is how full the pages of events get: they only grow at the end.
const eventFill = 1.0

// newEvents returns the events behind the position. Those up to it must be the same
// as in the log, as far as it goes back; older ones are ignored. Errors are a
// *event.MissingError, or wrap ErrConflict or event.ErrMalformed.
func (c *Catalog) newEvents(events []event.Event) (rest []event.Event, err error) {
	m := c.board.now()
	at := m.Position
	for i := range events {
		e := &events[i]
		if err := e.Validate(); err != nil {
			return nil, err
		}
		if i > 0 && e.Position != events[i-1].Position+1 {
			return nil, &event.MissingError{First: events[i-1].Position + 1, Found: e.Position}
		}
	}
	if len(events) > 0 && events[0].Position > at+1 {
		return nil, &event.MissingError{First: at + 1, Found: events[0].Position}
	}
	old := 0
	for old < len(events) && events[old].Position <= at {
		old++
	}
	if old == 0 {
		return events, nil
	}
	return events[old:], c.db.view(func(tx *bbolt.Tx) error {
		b, err := bucketsOf(tx)
		if err != nil {
			return err
		}
		for i := range events[:old] {
			have := b.events.Get(positionKey(events[i].Position))
			if have != nil && !bytes.Equal(have, event.AppendBinary(nil, &events[i])) {
				return fmt.Errorf("%w: event %d is %s, and was applied as another", ErrConflict, events[i].Position,
					bytes.TrimSpace(event.AppendLine(nil, &events[i])))
			}
		}
		return nil
	})
}

// engine is a log.db and the base that it lies over. Write transactions come one
// at a time, and the base changes between them only.
type engine struct {
	db    *database
	base  *base
	pools poolCache
}

// append appends and applies events, the next ones, in one transaction, and
// returns what the log says of itself then; nil: nothing was committed. Those
// before one that cannot be applied are.
func (g *engine) append(ctx context.Context, events []event.Event) (*meta, error) {
	m, applied, err := g.transact(ctx, events)
	if err == nil {
		return &m, nil
	}
	var no *event.ContradictionError
	if applied == 0 || !errors.As(err, &no) && !errors.Is(err, ErrPools) {
		return nil, err
	}
	if m, _, again := g.transact(ctx, events[:applied]); again == nil {
		return &m, err
	} else {
		return nil, again
	}
}

// transact is one transaction; applied is how many events of it were fine.
func (g *engine) transact(ctx context.Context, events []event.Event) (m meta, applied int, err error) {
	err = g.db.update(func(tx *bbolt.Tx) error {
		b, err := bucketsOf(tx)
		if err != nil {
			return err
		}
		if m, err = b.readMeta(); err != nil {
			return err
		}
		pools, err := g.pools.of(&b, &m, g.base)
		if err != nil {
			return err
		}
		w := newWork(&b, &m, g.base, pools.rebornCopy())
		b.events.FillPercent = eventFill
		for applied = range events {
			if err := w.step(&events[applied]); err != nil {
				return err
			}
		}
		if w.recount {
			if m.Sums, err = w.count(ctx); err != nil {
				return fmt.Errorf("count what is certified in epoch %d: %w", m.Epoch, err)
			}
		}
		return b.writeMeta(&m)
	})
	return m, applied, err
}

// step appends one event and applies it.
func (w *work) step(e *event.Event) error {
	w.now = e.Position
	if err := w.apply(e); err != nil {
		return err
	}
	raw := event.AppendBinary(make([]byte, 0, event.MaxBinary), e)
	w.m.Position, w.m.Chain = e.Position, nextChain(w.m.Chain, raw)
	return w.b.events.Put(positionKey(e.Position), raw)
}

// apply applies one event and keeps the sums. Only these kinds make a difference
// to what is certified within an epoch: what is registered is not certified yet,
// what is extended lives anyway, and a new epoch is counted when the transaction
// ends.
func (w *work) apply(e *event.Event) error {
	switch e.Kind {
	case event.Certify, event.Delete, event.Invalidate:
	default:
		return event.Apply(w.tables(), e)
	}
	blob, before, err := w.certified(e.Blob)
	if err != nil {
		return err
	}
	if err := event.Apply(w.tables(), e); err != nil {
		return err
	}
	after := e.Kind == event.Certify && blob.Invalidated == 0
	if e.Kind == event.Delete && before {
		if _, after, err = w.certified(e.Blob); err != nil {
			return err
		}
	}
	switch {
	case after && !before:
		w.m.Sums.add(blob.Size)
	case before && !after:
		w.m.Sums.remove(blob.Size)
	}
	return nil
}

// count adds up what is certified at the present epoch, in one pass.
func (w *work) count(ctx context.Context) (sums, error) {
	pools, err := mergePools(w.b, w.base)
	if err != nil {
		return sums{}, err
	}
	over := w.layers.over(w.base.Cursors(), w.layers.inLog(w.b))
	at := w.m.Stamp
	at.Position = w.layers.base
	return countScan(ctx, snapshot.NewScan(at, over, pools.all))
}

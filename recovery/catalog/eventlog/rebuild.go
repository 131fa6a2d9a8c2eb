package eventlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// plan says what a log is to be made of.
type plan struct {
	target uint64
	old    *findings      // the log whose events may be replayed; nil: there is none
	only   *archive.Entry // the one snapshot to begin with; nil: the best
}

// make chooses the way.
func (p plan) make(ctx context.Context, a shelf) (archive.Plan, error) {
	if p.only != nil {
		return archive.Plan{Route: archive.Route{Full: p.only}, Position: p.only.Position}, nil
	}
	l, err := a.List(ctx)
	if err != nil {
		return archive.Plan{}, err
	}
	var log archive.Range
	if p.old != nil && p.old.meta.First <= p.old.meta.Position {
		log = archive.Range{First: p.old.meta.First, Last: p.old.meta.Position}
	}
	return archive.MakePlan(l.Entries, log, p.target)
}

// baseLost reports whether a base is gone or damaged, rather than not readable
// for now.
func baseLost(err error) bool {
	var corrupt *snapshot.CorruptError
	var misnamed *archive.MisnamedError
	return errors.Is(err, errNoBase) || errors.Is(err, archive.ErrGone) || errors.Is(err, snapshot.ErrNotSnapshot) ||
		errors.Is(err, snapshot.ErrChunk) || errors.Is(err, errIncomplete) || errors.As(err, &corrupt) || errors.As(err, &misnamed)
}

// rebuild makes log.db anew and puts it in the place of the old one, if there is
// any, at once.
func rebuild(ctx context.Context, cfg Config, a shelf, p plan) error {
	way, err := p.make(ctx, a)
	var nothing *archive.NothingError
	if errors.As(err, &nothing) && p.target == archive.Latest && len(nothing.Newer) == 0 {
		way, err = archive.Plan{}, nil // the beginning
	}
	if err != nil {
		return err
	}
	r := &rebuilder{cfg: cfg, shelf: a, way: way, old: p.old}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer r.close()
	if err := createDatabase(&cfg, func(d *database) error { return r.fill(ctx, d) }); err != nil {
		return fmt.Errorf("make %s: %w", logName, err)
	}
	return nil
}

// rebuilder fills a new log.
type rebuilder struct {
	cfg   Config
	shelf shelf
	way   archive.Plan
	old   *findings
	base  *base
	incr  *archive.Held // nil: there is none
	sums  sums          // of the base
}

// open opens what the way begins with.
func (r *rebuilder) open(ctx context.Context) (err error) {
	if r.way.Full == nil {
		network := r.cfg.Network
		if network == "" && r.old != nil {
			network = r.old.meta.Network
		}
		if network == "" {
			return fmt.Errorf("%w: there is neither a log nor a snapshot in %s, and no network is named", recovery.ErrMisconfigured, r.cfg.Dir)
		}
		r.base, err = emptyBase(r.cfg.Dir, network)
		return err
	}
	held, err := r.shelf.OpenEntry(ctx, *r.way.Full)
	if err != nil {
		return err
	}
	r.base = newBase(held.Reader, held, false)
	if at := held.Header(); r.cfg.Network != "" && at.Network != r.cfg.Network {
		err = fmt.Errorf("%w: %v is of network %q, not %q", recovery.ErrMisconfigured, r.way.Full.Name, at.Network, r.cfg.Network)
	}
	if err == nil {
		r.base.clean, r.sums, err = surveyBase(ctx, held.Reader)
	}
	if err == nil && r.way.Incremental != nil {
		r.incr, err = r.shelf.OpenEntry(ctx, *r.way.Incremental)
	}
	if err != nil {
		r.close()
	}
	return err
}

func (r *rebuilder) close() {
	r.base.release()
	if r.incr != nil {
		_ = r.incr.Close() // only read
	}
}

// fill writes the log in many transactions, none of which counts before the file
// gets its name.
func (r *rebuilder) fill(ctx context.Context, d *database) error {
	m := meta{
		Stamp: r.base.Header().Stamp, Chain: r.base.Bound().Digest, Base: r.base.Bound(), Made: r.base.held == nil, Clean: r.base.clean,
		Swept: r.base.position(), Pools: r.base.position(), Sums: r.sums,
	}
	m.First, m.Before = m.Position+1, m.Chain
	err := change(d, func(b *buckets) error {
		for _, a := range r.base.Header().Ancestors {
			if err := remember(b, a.Position, a.Digest); err != nil {
				return err
			}
		}
		return errors.Join(remember(b, m.Base.Position, m.Base.Digest), b.writeMeta(&m))
	})
	r.cfg.between("log begun")
	if err == nil && r.incr != nil {
		err = r.lay(ctx, d, &m)
	}
	if err == nil && r.joins() {
		err = r.takeOver(ctx, d)
	}
	return err
}

// joins reports whether the old log holds the history at the position that is
// restored, so that it goes on under the same names.
func (r *rebuilder) joins() bool {
	return r.old != nil && r.old.meta.First <= r.way.Position+1 && r.way.Position <= r.old.meta.Position
}

// change runs a write transaction of a log that is being made.
func change(d *database, fn func(*buckets) error) error {
	return d.update(func(tx *bbolt.Tx) error {
		b, err := bucketsOf(tx)
		if err != nil {
			return err
		}
		return fn(&b)
	})
}

// lay puts an incremental snapshot into the delta. Its own digest and the base's
// name the history from then on.
func (r *rebuilder) lay(ctx context.Context, d *database, m *meta) error {
	if _, err := snapshot.Over(r.base.Reader, r.incr.Reader); err != nil {
		return err // it belongs to another base
	}
	at := r.incr.Bound()
	m.Stamp, m.Pools = at.Stamp, at.Position
	m.Chain = nextChain(m.Chain, at.Digest[:])
	m.First, m.Before = m.Position+1, m.Chain
	l := loader{ctx: ctx, d: d, base: r.base, m: m}
	if err := errors.Join(
		loadDelta(&l, r.incr.BlobDeltas()), loadDelta(&l, r.incr.RegistrationDeltas()),
		loadDelta(&l, r.incr.PooledDeltas()), loadDelta(&l, r.incr.PoolDeltas())); err != nil {
		return err
	}
	return change(d, func(b *buckets) (err error) {
		w := newWork(b, m, r.base, map[snapshot.PoolID]uint64{})
		if m.Sums, err = w.count(ctx); err != nil {
			return err
		}
		return b.writeMeta(m)
	})
}

// loader puts changes into the delta, all at the position of m.
type loader struct {
	ctx  context.Context
	d    *database
	base *base
	m    *meta
}

// loadRows is how many rows a transaction of a loader has.
const loadRows = 10_000

func loadDelta[R any, P snapshot.Row[R]](l *loader, from snapshot.DeltaCursor[R]) error {
	for more := true; more; {
		if l.ctx.Err() != nil {
			return context.Cause(l.ctx)
		}
		err := change(l.d, func(b *buckets) error {
			w := &work{b: b, m: l.m, now: l.m.Position}
			for range loadRows {
				row, dropped, err := from.Next()
				if more = row != nil; !more || err != nil {
					return err
				}
				if _, err := store[R, P](w, &record[R]{row: *row, dropped: dropped}); err != nil {
					return err
				}
				if P(row).Table() == snapshot.Pools {
					l.m.PoolRows++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeOver replays the old log's events behind the route's position, and keeps
// those before, and the bounds that were handed out, up to the restored position.
func (r *rebuilder) takeOver(ctx context.Context, d *database) (err error) {
	from, err := openDatabase(filepath.Join(r.cfg.Dir, logName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close(errors.Is(err, boltfile.ErrPanicked))) }()
	g := &engine{db: d, base: r.base}
	if err := r.adopt(d, from); err != nil {
		return err
	}
	for next := r.way.Route.Position() + 1; next <= r.way.Position; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		events, err := readEvents(from, next, min(r.way.Position-next+1, uint64(r.cfg.BatchEvents)))
		if err != nil {
			return err
		}
		if _, err := g.append(ctx, events); err != nil {
			return err
		}
		next += uint64(len(events))
	}
	return nil
}

// adopt copies the bounds of the old log, and its events up to the route's
// position, and gives the history the name that it had there.
func (r *rebuilder) adopt(d, from *database) error {
	first, last := r.old.meta.First, r.way.Route.Position()
	err := change(d, func(b *buckets) error {
		return from.view(func(tx *bbolt.Tx) error {
			old, err := bucketsOf(tx)
			if err != nil {
				return err
			}
			c := old.pins.Cursor()
			for key, _ := c.First(); key != nil && keyPosition(key) <= r.way.Position; key, _ = c.Next() {
				if err := b.pins.Put(append([]byte{}, key...), []byte{}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	chain := r.old.meta.Before
	for next := first; err == nil && next <= last; {
		var events []event.Event
		if events, err = readEvents(from, next, min(last-next+1, loadRows)); err != nil {
			break
		}
		next += uint64(len(events))
		err = change(d, func(b *buckets) error {
			b.events.FillPercent = eventFill
			for i := range events {
				raw := event.AppendBinary(make([]byte, 0, event.MaxBinary), &events[i])
				chain = nextChain(chain, raw)
				if err := b.events.Put(positionKey(events[i].Position), raw); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	return change(d, func(b *buckets) error {
		m, err := b.readMeta()
		if err != nil {
			return err
		}
		if first > last+1 {
			return fmt.Errorf("eventlog: the log begins at event %d, behind position %d", first, last)
		}
		m.First, m.Before, m.Chain = first, r.old.meta.Before, chain
		return b.writeMeta(&m)
	})
}

// readEvents reads some events of a log, n at most; there is one at least.
func readEvents(d *database, first, n uint64) (events []event.Event, err error) {
	err = d.view(func(tx *bbolt.Tx) error {
		b, err := bucketsOf(tx)
		if err != nil {
			return err
		}
		for at := first; at < first+n; at++ {
			e, err := event.ParseBinary(b.events.Get(positionKey(at)))
			if err != nil {
				return &DamageError{Path: d.path, What: fmt.Sprintf("event %d", at), Err: err}
			}
			events = append(events, e)
		}
		return nil
	})
	return events, err
}

package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// markerName names the file that says that a restore is under way.
const markerName = "restoring"

// marker is its content, for people.
type marker struct {
	From     string `json:"from,omitempty"` // the snapshot's file; empty: the archive
	Position uint64 `json:"position"`
}

// Seed fills an empty directory with a full snapshot, which is proven first: the
// snapshot is put into the archive, then the log is made that lies over it, and
// both take effect together (hazard 59). It has three phases, of which a restart
// begins the first again: until the last one has ended Open refuses the directory
// with ErrUnfinished. Errors are those of Open, of snapshot.Open and Verify, wrap
// ErrNotEmpty, or are those of the archive.
func Seed(ctx context.Context, cfg Config, path string) (recovery.Bound, error) {
	cfg = cfg.withDefaults()
	r, err := snapshot.Open(path)
	if err != nil {
		return recovery.Bound{}, err
	}
	err = seed(ctx, cfg, r, path)
	return r.Bound(), errors.Join(err, r.Close())
}

func seed(ctx context.Context, cfg Config, r *snapshot.Reader, path string) error {
	switch at := r.Header(); {
	case at.Base != nil:
		return fmt.Errorf("%w: %s is no state by itself", snapshot.ErrKind, path)
	case cfg.Network != "" && at.Network != cfg.Network:
		return fmt.Errorf("%w: %s is of network %q, not %q", recovery.ErrMisconfigured, path, at.Network, cfg.Network)
	}
	if err := r.Verify(ctx); err != nil {
		return fmt.Errorf("verify snapshot: %w", err)
	}
	return restore(ctx, cfg, marker{From: path, Position: r.Header().Position}, func(a *archive.Archive, fresh bool) error {
		if !fresh {
			return fmt.Errorf("%w: %s has a log (restore it to a position, or name an empty one)", ErrNotEmpty, cfg.Dir)
		}
		e, err := a.CreateFull(ctx, r, archive.CreateOptions{MaxChunk: cfg.MaxChunk, Estimate: r.Size()})
		if err != nil {
			return err
		}
		cfg.between("snapshot in place")
		return rebuild(ctx, cfg, a, plan{target: e.Position, only: &e})
	})
}

// RestoreTo brings a directory to a position: the best full snapshot of its
// archive, the best incremental over that, and the events of its own log. What came
// behind the position is dropped from the log, and comes from the source again.
// archive.Latest stands for the highest position that can be reached. The way that
// was taken is returned. Errors are those of Open and of archive.MakePlan.
func RestoreTo(ctx context.Context, cfg Config, target uint64) (way archive.Plan, err error) {
	cfg = cfg.withDefaults()
	err = restore(ctx, cfg, marker{Position: target}, func(a *archive.Archive, _ bool) error {
		old, err := examine(filepath.Join(cfg.Dir, logName))
		switch {
		case errors.Is(err, os.ErrNotExist) || isDamage(err):
			old = nil // the archive has to do
		case err != nil:
			return err
		}
		p := plan{target: target, old: old}
		if way, err = p.make(ctx, a); err != nil {
			return err
		}
		return rebuild(ctx, cfg, a, p)
	})
	return way, err
}

// restore runs fn under the directory's lock with the marker set. fresh: there is
// no log, or one that an unfinished restore made.
func restore(ctx context.Context, cfg Config, mark marker, fn func(a *archive.Archive, fresh bool) error) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	lock, err := lockDir(cfg.Dir, cfg.LockTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	unfinished, err := readMarker(cfg.Dir)
	if err != nil {
		return err
	}
	_, err = os.Lstat(filepath.Join(cfg.Dir, logName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh := err != nil || unfinished != nil && unfinished.From != ""
	a, err := openArchive(ctx, cfg)
	if err != nil {
		return err
	}
	if err := setMarker(cfg.Dir, mark); err != nil {
		return fmt.Errorf("%w: %w", ErrCreate, err)
	}
	cfg.between("marker set")
	if err := fn(a, fresh); err != nil {
		if unfinished == nil { // nothing has taken effect: it is as it was
			err = errors.Join(err, clearMarker(cfg.Dir))
		}
		return fmt.Errorf("restore %s: %w", cfg.Dir, err)
	}
	err = clearMarker(cfg.Dir)
	cfg.between("marker cleared")
	return err
}

func openArchive(ctx context.Context, cfg Config) (*archive.Archive, error) {
	a, err := archive.Open(archive.Config{Dir: cfg.Dir, MinFree: cfg.MinFree})
	if err != nil {
		return nil, err
	}
	_, err = a.Clean(ctx)
	return a, err
}

func setMarker(dir string, m marker) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, markerName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

func clearMarker(dir string) error {
	if err := os.Remove(filepath.Join(dir, markerName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// readMarker returns the marker, or nil if there is none. What cannot be understood
// is one.
func readMarker(dir string) (*marker, error) {
	raw, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &marker{}
	if json.Unmarshal(raw, m) != nil {
		return &marker{}, nil // it was being written
	}
	return m, nil
}

// checkMarker returns an error that wraps ErrUnfinished if the marker is there.
func checkMarker(dir string) error {
	m, err := readMarker(dir)
	switch {
	case err != nil || m == nil:
		return err
	case m.From != "":
		return fmt.Errorf("%w: %s was being filled from %s (do it again)", ErrUnfinished, dir, m.From)
	}
	return fmt.Errorf("%w: %s was being brought to position %d (do it again)", ErrUnfinished, dir, m.Position)
}

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
	defer func() { err = errors.Join(err, from.close(isPanic(err))) }()
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

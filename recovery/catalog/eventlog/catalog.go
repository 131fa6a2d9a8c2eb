package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// shelf is what is asked of an archive.
type shelf interface {
	List(ctx context.Context) (archive.Listing, error)
	OpenEntry(ctx context.Context, e archive.Entry) (*archive.Held, error)
	CreateFull(ctx context.Context, s snapshot.State, o archive.CreateOptions) (archive.Entry, error)
	CreateIncremental(ctx context.Context, base *snapshot.Reader, s snapshot.State, o archive.CreateOptions) (archive.Entry, error)
	Prune(ctx context.Context, p archive.Policy) ([]archive.Verdict, error)
}

// Catalog is a followed catalog, as a catalog.Source that many goroutines may
// use. It holds its directory locked until Close. Apply, or Follow, moves it on;
// everything else reads.
type Catalog struct {
	cfg    Config
	lock   *os.File
	shelf  shelf
	opened Opened
	board  *board

	applying sync.Mutex // held by whoever moves the position
	owed     bool       // the snapshot of an epoch that has just begun (hazard 94)

	writing sync.Mutex // held during a write transaction
	engine             // read transactions take the base under gate
	gate    sync.RWMutex

	closed  atomic.Bool
	crew    crew
	making  chan struct{} // full while a snapshot is made
	touched touchedCache
}

// crew are the goroutines beside those of the callers.
type crew struct {
	run  func(fn func(context.Context)) // fn ends soon when its context does
	stop context.CancelFunc
	wait func()
}

func newCrew() crew {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	return crew{run: func(fn func(context.Context)) { group.Go(func() { fn(ctx) }) }, stop: cancel, wait: group.Wait}
}

// Opened tells what Open found.
type Opened struct {
	// Damage is why log.db was not used; nil: it was, or there was none. SetAside
	// is what it is called now.
	Damage   error
	SetAside string
	// Rebuilt: the state was made from snapshots, because there was no log that
	// could be used, or not the base it lies over.
	Rebuilt bool
	// Torn counts events behind the position that were cut off.
	Torn uint64
	// At is where the catalog stood then.
	At recovery.Stamp
}

// Open locks the directory, proves the log, and opens the base it lies over. A
// log that is damaged is set aside, and the state is made again from the newest
// snapshots there are, as it is where there is no log; without any, the catalog
// begins before the first event. A base that is gone or damaged is replaced by
// another way to the same position, if snapshots and log have one.
//
// Errors wrap ErrLocked, ErrCreate, ErrVersion, ErrUnfinished or
// recovery.ErrMisconfigured, or are those of the archive and of the operating
// system: then nothing was changed.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	lock, err := lockDir(cfg.Dir, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	c := &Catalog{cfg: cfg, lock: lock, crew: newCrew(), making: make(chan struct{}, 1)}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog in %s: %w", cfg.Dir, err), c.close())
	}
	return c, nil
}

// start does what Open promises, under the lock.
func (c *Catalog) start(ctx context.Context) error {
	if err := checkMarker(c.cfg.Dir); err != nil {
		return err
	}
	a, err := openArchive(ctx, c.cfg)
	if err != nil {
		return err
	}
	c.shelf = a
	found, err := c.survey(ctx)
	if err != nil {
		return err
	}
	c.base, err = openBase(ctx, a, &found.meta, c.cfg.Dir)
	if baseLost(err) {
		c.opened.Rebuilt = true
		if err = rebuild(ctx, c.cfg, a, plan{target: found.meta.Position, old: found}); err != nil {
			return err
		}
		if found, err = examine(filepath.Join(c.cfg.Dir, logName)); err != nil {
			return err
		}
		c.base, err = openBase(ctx, a, &found.meta, c.cfg.Dir)
	}
	if err != nil {
		return err
	}
	if c.db, err = openDatabase(filepath.Join(c.cfg.Dir, logName)); err != nil {
		return err
	}
	c.db.db.NoSync = c.cfg.noSync
	c.opened.At, c.opened.Torn = found.meta.Stamp, found.torn
	c.owed = c.cfg.EpochSnapshots && found.last == event.EpochStarted && found.meta.Position > found.meta.Base.Position
	c.board = newBoard(&found.meta)
	if found.torn > 0 {
		if err := c.cutTail(); err != nil {
			return fmt.Errorf("cut the events behind position %d: %w", found.meta.Position, err)
		}
	}
	if found.meta.Swept < found.meta.Base.Position {
		c.crew.run(func(ctx context.Context) { c.board.tidied(c.sweep(ctx)) })
	}
	return nil
}

// survey proves log.db, and makes one where there is none that can be used.
func (c *Catalog) survey(ctx context.Context) (*findings, error) {
	path := filepath.Join(c.cfg.Dir, logName)
	found, err := examine(path)
	switch {
	case err == nil:
		if c.cfg.Network != "" && found.meta.Network != c.cfg.Network {
			return nil, fmt.Errorf("%w: the catalog is of network %q, not %q", recovery.ErrMisconfigured, found.meta.Network, c.cfg.Network)
		}
		return found, nil
	case isDamage(err):
		c.opened.Damage = err
		if c.opened.SetAside, err = setAside(c.cfg.Dir, time.Now()); err != nil {
			return nil, fmt.Errorf("set %s aside: %w", logName, err)
		}
		c.opened.Rebuilt = true
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	if err := rebuild(ctx, c.cfg, c.shelf, plan{target: archive.Latest}); err != nil {
		return nil, err
	}
	return examine(path)
}

// cutTail removes events that were appended without being applied.
func (c *Catalog) cutTail() error {
	return c.update(func(b *buckets, m *meta) error {
		for {
			key, _ := b.events.Cursor().Last()
			if key == nil || keyPosition(key) <= m.Position {
				return nil
			}
			if err := b.events.Delete(key); err != nil {
				return err
			}
		}
	})
}

// update runs a write transaction that may change what the log says of itself.
// The first failed commit ends everything (I12).
func (c *Catalog) update(fn func(b *buckets, m *meta) error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	var m meta
	err := c.db.update(func(tx *bbolt.Tx) error {
		b, err := bucketsOf(tx)
		if err != nil {
			return err
		}
		if m, err = b.readMeta(); err != nil {
			return err
		}
		if err := fn(&b, &m); err != nil {
			return err
		}
		return b.writeMeta(&m)
	})
	if err != nil {
		return c.wrote(nil, err)
	}
	return c.wrote(&m, nil)
}

// wrote makes known what a write transaction has led to; m is nil where nothing
// was committed.
func (c *Catalog) wrote(m *meta, err error) error {
	if m != nil {
		c.board.moved(m)
	}
	if errors.Is(err, ErrFailed) {
		c.board.fail(err)
	}
	return c.damage(err)
}

// usable returns why nothing can be done any more, or nil.
func (c *Catalog) usable() error {
	if c.closed.Load() {
		return catalog.ErrClosed
	}
	return c.board.failed()
}

// Opened tells what Open found.
func (c *Catalog) Opened() Opened { return c.opened }

// Close stops what runs beside, waits for it and for those who read, and gives
// the directory back. A snapshot under way is dropped. Follow and Apply must have
// returned, or return soon with catalog.ErrClosed.
func (c *Catalog) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.crew.stop()
	c.board.wakeAll()
	c.applying.Lock()
	defer c.applying.Unlock()
	c.crew.wait()
	return c.close()
}

// close closes what is open; the lock goes last.
func (c *Catalog) close() error {
	c.crew.stop()
	c.gate.Lock()
	defer c.gate.Unlock()
	broken := c.board != nil && errors.Is(c.board.failed(), boltfile.ErrPanicked)
	err := c.db.close(broken)
	if c.base != nil {
		c.base.release()
	}
	return errors.Join(err, c.lock.Close())
}

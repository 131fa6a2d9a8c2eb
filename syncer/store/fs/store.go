package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// Store keeps pieces under a directory. It implements syncer.Store and what the
// worker looks at. Its methods may be called from many goroutines.
type Store struct {
	cfg       Config
	deaf      bool // syncfs reports no write errors
	pending   *pending
	unflushed *atomic.Int64 // bytes of pages that drafts made dirty and no flush covered
	kept      *budget       // drafts that stay open
	syncfs    func(fd int) error
	view      atomic.Pointer[view] // nil until the first Prepare succeeded

	gate    sync.Mutex // one Prepare, Accept or Close at a time; it guards what follows
	closed  bool
	place   *place   // nil while the root is not there
	former  []*place // left behind with drafts in them
	volumes map[uint64]*volume
	broken  error // a flush of Prepare failed
}

// view is what Prepare found, as the other methods see it. It never changes.
type view struct {
	layout    store.Layout
	shards    map[uint32]viewedShard
	volumes   []*volume
	inventory *Inventory
}

type viewedShard struct {
	dir     *shardDir
	vol     *volume
	foreign bool
}

// Open returns a store that has to be prepared before it is used. It takes the
// root's lock if the root is there: ErrLocked says that somebody else has it.
// Everything else that is wrong with the root may heal, so Prepare reports it.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, pending: &pending{}, unflushed: &atomic.Int64{}, kept: newBudget(), syncfs: unix.Syncfs, volumes: map[uint64]*volume{}}
	var err error
	if s.deaf, err = syncfsIsDeaf(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if s.place, err = openPlace(cfg.Root); errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// Mark sets Stored on the rows, which are in rising order (see Inventory.Mark).
func (s *Store) Mark(ctx context.Context, rows []recovery.Row) error {
	v := s.view.Load()
	if v == nil {
		return store.ErrNotPrepared
	}
	return v.inventory.Mark(ctx, rows)
}

// Has implements syncer.Store. A piece whose name is not durable yet, and one of
// another size than the blob's, are not there. Something else than a regular file
// under the piece's name is an error.
func (s *Store) Has(ctx context.Context, p syncer.Piece) (bool, error) {
	v, sh, err := s.shard(ctx, p)
	if err != nil {
		return false, err
	}
	ok, err := sh.dir.has(v.layout, p.Blob.ID, s.cfg.sizeOf(p, sh.foreign))
	return ok && !s.pending.has(keyOf(p)), err
}

// Create implements syncer.Store.
func (s *Store) Create(ctx context.Context, p syncer.Piece, size int64) (syncer.Draft, error) {
	v, sh, err := s.shard(ctx, p)
	if err != nil {
		return nil, err
	}
	d := &draft{vol: sh.vol, dir: sh.dir, key: keyOf(p), fan: -1, size: size}
	if v.layout == store.Fanout {
		d.fan = int(p.Blob.ID[0])
	}
	if err := d.create(s.kept); err != nil {
		return nil, fmt.Errorf("create draft in %s: %w", store.Place(store.PlaceOf(p)), err)
	}
	if err := d.reserve(); err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
}

func (s *Store) shard(ctx context.Context, p syncer.Piece) (*view, viewedShard, error) {
	if err := ctx.Err(); err != nil {
		return nil, viewedShard{}, err
	}
	v := s.view.Load()
	if v == nil {
		return nil, viewedShard{}, store.ErrNotPrepared
	}
	place := store.PlaceOf(p)
	sh, ok := v.shards[place]
	if !ok {
		return nil, viewedShard{}, fmt.Errorf("%w: %s is not owned", store.ErrNotPrepared, store.Place(place))
	}
	return v, sh, nil
}

// OpenPiece opens what has a piece's final name, durable or not, and returns its size
// in bytes. Nothing is known about its bytes. Errors wrap fs.ErrNotExist if nothing is
// there, and store.ErrNotPrepared if the shard is not owned.
func (s *Store) OpenPiece(ctx context.Context, p syncer.Piece) (io.ReadCloser, int64, error) {
	v, sh, err := s.shard(ctx, p)
	if err != nil {
		return nil, 0, err
	}
	f, info, err := openRegular(sh.dir.root, pieceName(v.layout, p.Blob.ID))
	if err != nil {
		return nil, 0, fmt.Errorf("open a piece of %s: %w", store.Place(store.PlaceOf(p)), err)
	}
	return f, info.Size(), nil
}

// Close lets go of the lock and of every directory. Drafts fail after it. It may
// be called more than once.
func (s *Store) Close() error {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.view.Store(nil)
	var errs []error
	for _, v := range s.volumes {
		errs = append(errs, v.dir.Close())
	}
	for _, p := range append(s.former, s.place) {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// volumeOf returns the volume of a directory, opening it on first sight.
func (s *Store) volumeOf(device uint64, dir *os.Root) (*volume, error) {
	if v := s.volumes[device]; v != nil {
		return v, nil
	}
	f, err := dir.Open(".")
	if err != nil {
		return nil, fmt.Errorf("open the volume of %s: %w", dir.Name(), err)
	}
	v := &volume{
		dir: f, device: device, pending: s.pending, unflushed: s.unflushed, syncfs: s.syncfs, began: time.Now(),
		chooser: newChooser(s.cfg.Durability, s.deaf, tenancyOf(f)),
	}
	if err := v.nameless.look(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if s.cfg.named {
		v.nameless.refused.Store(true)
	}
	s.volumes[device] = v
	return v, nil
}

// reach makes s.place the directory that the root's path resolves to now; nil if
// there is none.
func (s *Store) reach() error {
	if s.place != nil {
		same, err := s.place.isAt(s.cfg.Root)
		if same {
			return nil
		}
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		if err := s.leave(); err != nil {
			return err
		}
	}
	for i, p := range s.former { // it is locked already: by us
		if same, _ := p.isAt(s.cfg.Root); same {
			s.former = slices.Delete(s.former, i, i+1)
			s.place = p
			return nil
		}
	}
	p, err := openPlace(s.cfg.Root)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	s.place = p
	return nil
}

// leave lets go of the present place. One that was prepared stays open until
// Close: drafts may still be under way in it.
func (s *Store) leave() error {
	p := s.place
	s.place = nil
	if p == nil {
		return nil
	}
	if p.used {
		s.former = append(s.former, p)
		return nil
	}
	if err := p.close(); err != nil {
		return fmt.Errorf("leave the store's root: %w", err)
	}
	return nil
}

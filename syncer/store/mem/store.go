package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

var (
	// ErrLocked: another Store has the disk.
	ErrLocked = errors.New("mem: the disk is in use")
	// ErrEnded: the process that opened the Store was killed, or closed it.
	ErrEnded = errors.New("mem: the process has ended")
)

// Config says what a store may do. The zero value of a field means its default.
type Config struct {
	// NoCreate forbids the store to make its root and shard directories.
	NoCreate bool
	// MinFree is the free space in bytes below which the scan waits; default 0.
	MinFree uint64
	// PieceSize returns the exact size of a piece, recovery.SizeUnknown or
	// store.SizeNone; default the size of a raw blob.
	PieceSize func(syncer.Piece) int64
	// VolumeOf names the volume a shard (or store.Manifests) lies on; default one for
	// all.
	VolumeOf func(shard uint32) int
}

func (c Config) withDefaults() Config {
	if c.PieceSize == nil {
		c.PieceSize = store.RawSize
	}
	if c.VolumeOf == nil {
		c.VolumeOf = func(uint32) int { return 0 }
	}
	return c
}

// Store is a process's use of a Disk. Its methods may be called from many
// goroutines.
type Store struct {
	cfg  Config
	disk *Disk

	// The disk's lock guards what follows.
	ended   bool
	opened  bool // what an earlier process left was flushed
	req     recovery.StoreRequest
	owned   map[uint32]owned // nil until the first Prepare
	volumes map[int]*volume
}

// owned is a prepared shard.
type owned struct {
	*shard
	foreign bool
}

// Open takes the disk, or fails with ErrLocked.
func Open(disk *Disk, cfg Config) (*Store, error) {
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if disk.user != nil {
		return nil, ErrLocked
	}
	disk.user = &Store{cfg: cfg.withDefaults(), disk: disk, volumes: map[int]*volume{}}
	return disk.user, nil
}

// Prepare opens the store for an ownership, or checks it again.
func (s *Store) Prepare(ctx context.Context, req recovery.StoreRequest) (recovery.StoreReport, error) {
	return s.prepare(ctx, req, false)
}

// Accept says that the store is meant as it is.
func (s *Store) Accept(ctx context.Context, req recovery.StoreRequest) (recovery.StoreReport, error) {
	return s.prepare(ctx, req, true)
}

func (s *Store) prepare(ctx context.Context, req recovery.StoreRequest, accept bool) (recovery.StoreReport, error) {
	if err := ctx.Err(); err != nil {
		return recovery.StoreReport{}, err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.ended {
		return recovery.StoreReport{}, ErrEnded
	}
	policy := store.Policy{Create: !s.cfg.NoCreate || accept, Adopt: accept}
	plan, err := store.Decide(req, policy, s.look(req), store.NewMarkerID)
	if err != nil {
		return recovery.StoreReport{}, fmt.Errorf("prepare store: %w", err)
	}
	if !s.opened && s.disk.failing != nil {
		return recovery.StoreReport{}, fmt.Errorf("prepare store: flush: %w", s.disk.failing)
	}
	s.carryOut(plan, req)
	return plan.Report, nil
}

func (s *Store) look(req recovery.StoreRequest) store.Found {
	m := s.disk.mounted
	found := store.Found{Root: m.root, Marker: m.marker, Shards: map[uint32]store.FoundShard{}}
	for number, dir := range m.shards {
		found.Flat = found.Flat || m.marker == nil && len(dir.live) > 0
		if number == store.Manifests || req.Owned.Contains(number) {
			found.Shards[number] = store.FoundShard{Marker: dir.marker, Empty: len(dir.live) == 0}
		}
	}
	return found
}

// carryOut makes what the plan asks for; all of it is durable at once.
func (s *Store) carryOut(plan store.Plan, req recovery.StoreRequest) {
	m := s.disk.mounted
	m.root, m.marker = true, &plan.Root
	s.req, s.owned = req, map[uint32]owned{}
	for _, p := range plan.Shards {
		number := p.Marker.Shard
		if p.MakeDir {
			m.make(number)
		}
		dir := m.shards[number]
		dir.marker = &p.Marker
		s.owned[number] = owned{dir, p.Foreign}
	}
	if s.opened {
		return
	}
	s.opened = true
	for _, dir := range m.shards {
		for id, f := range dir.live {
			f.lasting = true
			dir.lasting[id] = f
		}
	}
}

// Mark sets Stored on the rows, which are in rising order.
func (s *Store) Mark(ctx context.Context, rows []recovery.Row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := 1; i < len(rows); i++ {
		if rows[i-1].ID.Compare(rows[i].ID) >= 0 {
			return fmt.Errorf("%w: %s comes before %s", store.ErrOrder, rows[i-1].ID, rows[i].ID)
		}
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	for i := range rows {
		rows[i].Stored = s.stored(rows[i].Blob)
	}
	return nil
}

// stored reports whether every owned shard has its piece; false if none has to.
func (s *Store) stored(b recovery.Blob) bool {
	if s.req.Placement == shards.Hashed {
		home := shards.Home(b.ID, s.req.TotalShards)
		dir, ok := s.owned[home]
		return ok && s.has(dir, syncer.Piece{Blob: b, Shard: home}, dir.foreign)
	}
	for place, dir := range s.owned {
		if place == store.Manifests && b.Encoding != recovery.Striped {
			continue
		}
		if !s.has(dir, store.PieceIn(b, place, s.req.Placement, s.req.TotalShards), dir.foreign) {
			return false
		}
	}
	return len(s.owned) > 0
}

// has reports whether a piece is there under a durable name, and, if exact, has
// the size it must have.
func (s *Store) has(dir owned, p syncer.Piece, exact bool) bool {
	f := dir.live[p.Blob.ID]
	if f == nil || dir.lasting[p.Blob.ID] != f {
		return false
	}
	size := s.cfg.PieceSize(p)
	return !exact || size == recovery.SizeUnknown || size == int64(len(f.bytes))
}

func (s *Store) ready() error {
	switch {
	case s.ended:
		return ErrEnded
	case s.owned == nil:
		return store.ErrNotPrepared
	}
	return nil
}

func (s *Store) shard(ctx context.Context, p syncer.Piece) (owned, error) {
	if err := errors.Join(ctx.Err(), s.ready()); err != nil {
		return owned{}, err
	}
	place := store.PlaceOf(p)
	dir, ok := s.owned[place]
	if !ok {
		return owned{}, fmt.Errorf("%w: %s is not owned", store.ErrNotPrepared, store.Place(place))
	}
	return dir, nil
}

// Has implements syncer.Store.
func (s *Store) Has(ctx context.Context, p syncer.Piece) (bool, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	dir, err := s.shard(ctx, p)
	if err != nil {
		return false, err
	}
	return s.has(dir, p, dir.foreign || p.Blob.Encoding == recovery.Raw), nil
}

// Create implements syncer.Store.
func (s *Store) Create(ctx context.Context, p syncer.Piece, size int64) (syncer.Draft, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	dir, err := s.shard(ctx, p)
	if err != nil {
		return nil, err
	}
	name := s.cfg.VolumeOf(store.PlaceOf(p))
	vol := s.volumes[name]
	if vol == nil {
		vol = &volume{store: s}
		s.volumes[name] = vol
	}
	return &draft{vol: vol, dir: dir.shard, id: p.Blob.ID, size: size, file: &file{}}, nil
}

// OpenPiece opens what has a piece's final name, durable or not. Errors wrap
// fs.ErrNotExist if nothing is there.
func (s *Store) OpenPiece(ctx context.Context, p syncer.Piece) (io.ReadCloser, int64, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	dir, err := s.shard(ctx, p)
	if err != nil {
		return nil, 0, err
	}
	f := dir.live[p.Blob.ID]
	if f == nil {
		return nil, 0, fmt.Errorf("open a piece of %s: %w", store.Place(store.PlaceOf(p)), fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(f.bytes)), int64(len(f.bytes)), nil
}

// Room returns what is left of the disk's capacity.
func (s *Store) Room(ctx context.Context) (recovery.Room, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if err := errors.Join(ctx.Err(), s.ready()); err != nil {
		return recovery.Room{}, err
	}
	free := uint64(max(s.disk.capacity-s.disk.used, 0))
	return recovery.Room{Free: free, Min: s.cfg.MinFree, Low: free < s.cfg.MinFree}, nil
}

// Close ends the use of the disk. Drafts fail after it.
func (s *Store) Close() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if !s.ended {
		s.disk.end()
		s.disk.count()
	}
	return nil
}

package mem

import (
	"context"
	"errors"
	"fmt"

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
	// PieceSize returns the exact size of what one shard holds of a blob, or
	// recovery.SizeUnknown; default the size of a raw blob.
	PieceSize func(recovery.Blob) int64
	// VolumeOf names the volume a shard lies on; default one for all.
	VolumeOf func(shard uint32) int
}

func (c Config) withDefaults() Config {
	if c.PieceSize == nil {
		c.PieceSize = func(b recovery.Blob) int64 {
			if b.Encoding == recovery.Raw {
				return b.Size
			}
			return recovery.SizeUnknown
		}
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
		if req.Owned.Contains(number) {
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
		dir, ok := s.owned[shards.Home(b.ID, s.req.TotalShards)]
		return ok && s.has(dir, b, dir.foreign)
	}
	for _, dir := range s.owned {
		if !s.has(dir, b, dir.foreign) {
			return false
		}
	}
	return len(s.owned) > 0
}

// has reports whether a piece is there under a durable name, and, if exact, has
// the size it must have.
func (s *Store) has(dir owned, b recovery.Blob, exact bool) bool {
	f := dir.live[b.ID]
	if f == nil || dir.lasting[b.ID] != f {
		return false
	}
	size := s.cfg.PieceSize(b)
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
	dir, ok := s.owned[p.Shard]
	if !ok {
		return owned{}, fmt.Errorf("%w: shard %d is not owned", store.ErrNotPrepared, p.Shard)
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
	return s.has(dir, p.Blob, true), nil
}

// Create implements syncer.Store.
func (s *Store) Create(ctx context.Context, p syncer.Piece, size int64) (syncer.Draft, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	dir, err := s.shard(ctx, p)
	if err != nil {
		return nil, err
	}
	name := s.cfg.VolumeOf(p.Shard)
	vol := s.volumes[name]
	if vol == nil {
		vol = &volume{store: s}
		s.volumes[name] = vol
	}
	return &draft{vol: vol, dir: dir.shard, id: p.Blob.ID, size: size, file: &file{}}, nil
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

package walrus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/spill"
)

// ErrBase: the file does not hold a later state of the base's network.
var ErrBase = errors.New("walrus: does not go on from the base")

// StateConfig says how to make a state of a file.
type StateConfig struct {
	// Network is the state's; default the base's, or a name derived from the
	// file's digest, so that unrelated files are never taken for one history
	// (hazard 84).
	Network string
	// Base is an earlier state, from which this one descends: it is named among
	// the ancestors, what is certified for as long as in it keeps its gained
	// position, and what it knows of a blob besides (size, invalidation) stays
	// known. Nil: none. It stays open as long as the state is in use.
	Base *snapshot.Reader
	// Memory bounds the bytes that are held to sort the entries; default 64 MiB.
	// The state does not depend on it.
	Memory int
	// Dir is where temporary files lie, on a volume with room for the file.
	Dir string
}

// State is a file's content as a catalog's state: its entries by blob id. Blobs
// have the encoding walrus, and neither size nor digest. The position is the
// header's next event index. It must be closed.
type State struct {
	head    snapshot.Header
	base    *snapshot.Reader
	objects *spill.Sorter
	pooled  *spill.Sorter
	pools   []snapshot.Pool
	missing []snapshot.PoolID
}

// NewState reads the rest of a file, which must be whole. Errors are those of
// Next, or wrap ErrUnsupported or ErrBase, or are those of sorting and of ctx.
func NewState(ctx context.Context, r *Reader, cfg StateConfig) (_ *State, err error) {
	if !r.head.Whole() {
		return nil, fmt.Errorf("%w: %s is part %d of %d, and a catalog needs all of them in one",
			ErrUnsupported, r.Path(), r.head.Chunk+1, r.head.Chunks)
	}
	s := &State{base: cfg.Base}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if cfg.Memory == 0 {
		cfg.Memory = 64 << 20
	}
	half := max(1, cfg.Memory/2)
	if s.objects, err = spill.New(spill.Config{Record: objectRecord, Memory: half, Dir: cfg.Dir}); err != nil {
		return nil, err
	}
	if s.pooled, err = spill.New(spill.Config{Record: pooledRecord, Memory: half, Dir: cfg.Dir}); err != nil {
		return nil, err
	}
	if err := s.read(ctx, r); err != nil {
		return nil, err
	}
	s.head.Stamp = recovery.Stamp{Network: cfg.Network, Epoch: r.head.Epoch, Position: r.head.Next}
	if s.base != nil {
		return s, s.goOn(r)
	}
	if s.head.Network == "" {
		s.head.Network = fmt.Sprintf("walrus-%016x", r.Digest())
	}
	return s, nil
}

// read takes all entries.
func (s *State) read(ctx context.Context, r *Reader) error {
	named := map[snapshot.PoolID]bool{} // by an entry
	var record []byte
	for looked := 0; ; looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, err := r.Next()
		if err != nil {
			return err
		}
		if e == nil {
			break
		}
		switch e.Section {
		case Objects:
			record = e.appendObject(record[:0])
			err = s.objects.Add(record)
		case PooledObjects:
			named[e.Pooled.Pool] = true
			record = e.appendPooled(record[:0])
			err = s.pooled.Add(record)
		case Pools:
			s.pools = append(s.pools, snapshot.Pool{ID: e.Key, StartEpoch: e.Pool.StartEpoch, EndEpoch: e.Pool.EndEpoch})
		}
		if err != nil {
			return err
		}
		if max(len(s.pools), len(named)) > snapshot.MaxPools {
			return s.tooManyPools(r)
		}
	}
	s.addMissing(named)
	if len(s.pools) > snapshot.MaxPools {
		return s.tooManyPools(r)
	}
	return nil
}

func (s *State) tooManyPools(r *Reader) error {
	return fmt.Errorf("%w: %s has more than %d pools", ErrUnsupported, r.Path(), snapshot.MaxPools)
}

// addMissing puts in the pools that entries name and the file does not have. When
// they end is unknown, and unknown is never "ended": they have no end (I8).
func (s *State) addMissing(named map[snapshot.PoolID]bool) {
	for _, p := range s.pools {
		delete(named, p.ID)
	}
	s.missing = slices.SortedFunc(maps.Keys(named), func(a, b snapshot.PoolID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range s.missing {
		s.pools = append(s.pools, snapshot.Pool{ID: id, EndEpoch: recovery.EpochForever})
	}
	slices.SortFunc(s.pools, func(a, b snapshot.Pool) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

// goOn makes the state one that follows the base.
func (s *State) goOn(r *Reader) error {
	base := s.base.Header()
	switch {
	case base.Base != nil:
		return fmt.Errorf("%w: %s is an incremental snapshot", ErrBase, s.base.Path())
	case s.head.Network != "" && s.head.Network != base.Network:
		return fmt.Errorf("%w: it is of network %q, not %q", ErrBase, base.Network, s.head.Network)
	case s.head.Position <= base.Position:
		return fmt.Errorf("%w: %s is at position %d, the base %s at %d already",
			ErrBase, r.Path(), s.head.Position, s.base.Path(), base.Position)
	case s.head.Epoch < base.Epoch:
		return fmt.Errorf("%w: %s is of epoch %d, the base %s of %d", ErrBase, r.Path(), s.head.Epoch, s.base.Path(), base.Epoch)
	}
	s.head.Network = base.Network
	s.head.Ancestors = snapshot.Descend(s.base.Bound(), base.Ancestors)
	old := s.base.Pools()
	for i := range s.pools {
		p := &s.pools[i]
		at, there := slices.BinarySearchFunc(old, p.ID, func(o snapshot.Pool, id snapshot.PoolID) int { return bytes.Compare(o.ID[:], id[:]) })
		if there && old[at].EndEpoch >= p.EndEpoch && old[at].StartEpoch == p.StartEpoch {
			p.Gained = s.gained(old[at].Gained)
		}
	}
	return nil
}

// gained is a position that the base gives, with its own for unknown.
func (s *State) gained(position uint64) uint64 {
	if position == 0 {
		return s.base.Header().Position
	}
	return position
}

// Close drops what was sorted. No cursor is of any use after it.
func (s *State) Close() error {
	var problems []error
	for _, sorter := range []*spill.Sorter{s.objects, s.pooled} {
		if sorter != nil {
			problems = append(problems, sorter.Close())
		}
	}
	return errors.Join(problems...)
}

// Header implements snapshot.State.
func (s *State) Header() snapshot.Header { return s.head }

// Pools implements snapshot.State.
func (s *State) Pools() []snapshot.Pool { return s.pools }

// Missing are the pools that entries name and the file does not have. In the
// state they have no end.
func (s *State) Missing() []snapshot.PoolID { return s.missing }

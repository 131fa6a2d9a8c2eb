package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"syscall"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

var errClosed = errors.New("fs: the store is closed")

// Prepare opens the store for an ownership, or checks it again, by the rules of
// package store. What it makes is durable before it returns, and what an earlier
// process left is cleaned up and flushed (hazards 49, 77). Listings made before
// are dropped. An error says that the store is not ready; what was prepared
// before stays in use.
func (s *Store) Prepare(ctx context.Context, req recovery.StoreRequest) (recovery.StoreReport, error) {
	return s.prepare(ctx, req, false)
}

// Accept says that the store is meant as it is: an empty root, or one without
// marker, gets its markers although progress claims work, and shards that were
// made for another root are taken over. The identity that results is a new one,
// so the progress will be discarded.
func (s *Store) Accept(ctx context.Context, req recovery.StoreRequest) (recovery.StoreReport, error) {
	return s.prepare(ctx, req, true)
}

func (s *Store) prepare(ctx context.Context, req recovery.StoreRequest, accept bool) (recovery.StoreReport, error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	report, err := s.open(ctx, req, accept)
	if errors.Is(err, recovery.ErrInDoubt) {
		s.broken = err // it sticks: what was made is found by the next try, and not flushed again
	}
	if err != nil {
		return recovery.StoreReport{}, fmt.Errorf("prepare store %s: %w", s.cfg.Root, err)
	}
	return report, nil
}

func (s *Store) open(ctx context.Context, req recovery.StoreRequest, accept bool) (recovery.StoreReport, error) {
	if s.closed {
		return recovery.StoreReport{}, errClosed
	}
	if s.broken != nil {
		return recovery.StoreReport{}, s.broken
	}
	plan, dirs, err := s.decide(ctx, req, accept)
	if errors.Is(err, store.ErrEmpty) && s.place != nil && !s.place.used {
		err = errors.Join(err, s.leave()) // so that another process may accept it
	}
	if err != nil {
		return recovery.StoreReport{}, err
	}
	if err := s.carryOut(ctx, plan, dirs); err != nil {
		return recovery.StoreReport{}, err
	}
	v, err := s.viewOf(plan, dirs, req)
	if err != nil {
		return recovery.StoreReport{}, err
	}
	if err := s.firstLook(ctx, v, dirs); err != nil {
		return recovery.StoreReport{}, err
	}
	s.place.used = true
	s.view.Store(v)
	return plan.Report, nil
}

// decide looks and asks for a plan. A missing root is made, and looked at again
// under its lock: another process may have been quicker.
func (s *Store) decide(ctx context.Context, req recovery.StoreRequest, accept bool) (store.Plan, map[uint32]*shardDir, error) {
	policy := store.Policy{
		Create: s.cfg.Create || accept, Layout: s.cfg.Layout, ExpectedPerShard: s.cfg.ExpectedPerShard, Adopt: accept,
	}
	for range 2 {
		if err := s.reach(); err != nil {
			return store.Plan{}, nil, err
		}
		found, dirs, err := s.look(ctx, req)
		if err != nil {
			return store.Plan{}, nil, err
		}
		plan, err := store.Decide(req, policy, found, store.NewMarkerID)
		if err != nil {
			return store.Plan{}, nil, err
		}
		if !plan.MakeRoot {
			return plan, dirs, nil
		}
		if err := makeRoot(s.cfg.Root); err != nil && !errors.Is(err, iofs.ErrExist) {
			return store.Plan{}, nil, err
		}
	}
	return store.Plan{}, nil, fmt.Errorf("make the store's root: it does not stay")
}

// carryOut makes what the plan asks for, durably, in its order.
func (s *Store) carryOut(ctx context.Context, plan store.Plan, dirs map[uint32]*shardDir) error {
	root := s.place.root
	if plan.WriteRoot {
		data, err := plan.Root.Encode()
		if err != nil {
			return err
		}
		if err := writeMarker(root, data); err != nil {
			return err
		}
	}
	made := false
	for _, p := range plan.Shards {
		if !p.MakeDir {
			continue
		}
		if err := root.Mkdir(store.DirName(p.Marker.Shard), dirMode); err != nil {
			return fmt.Errorf("make %s: %w", store.Place(p.Marker.Shard), err)
		}
		dir, err := openShardDir(root, p.Marker.Shard)
		if err != nil {
			return err
		}
		s.place.keep(dir)
		dirs[p.Marker.Shard] = dir
		made = true
	}
	if made {
		if err := flushDir(root, "."); err != nil {
			return fmt.Errorf("make shards: %w", err)
		}
	}
	return each(plan.Shards, func(p store.PlannedShard) error {
		if !p.Write {
			return ctx.Err()
		}
		data, err := p.Marker.Encode()
		if err != nil {
			return err
		}
		if err := writeMarker(dirs[p.Marker.Shard].root, data); err != nil {
			return fmt.Errorf("%s: %w", store.Place(p.Marker.Shard), err)
		}
		return ctx.Err()
	})
}

// viewOf puts together what the other methods will see.
func (s *Store) viewOf(plan store.Plan, dirs map[uint32]*shardDir, req recovery.StoreRequest) (*view, error) {
	v := &view{layout: plan.Root.Layout, shards: make(map[uint32]viewedShard, len(dirs))}
	owned := make([]listed, 0, len(plan.Shards))
	seen := map[*volume]bool{}
	add := func(device uint64, dir *os.Root) (*volume, error) {
		vol, err := s.volumeOf(device, dir)
		if err == nil && !seen[vol] {
			seen[vol] = true
			v.volumes = append(v.volumes, vol)
		}
		return vol, err
	}
	for _, p := range plan.Shards {
		dir := dirs[p.Marker.Shard]
		vol, err := add(dir.device(), dir.root)
		if err != nil {
			return nil, err
		}
		v.shards[p.Marker.Shard] = viewedShard{dir, vol, p.Foreign}
		owned = append(owned, listed{dir: dir, foreign: p.Foreign})
	}
	if len(v.volumes) == 0 {
		if _, err := add(uint64(s.place.info.Sys().(*syscall.Stat_t).Dev), s.place.root); err != nil {
			return nil, err
		}
	}
	v.inventory = newInventory(s.cfg, v.layout, req, owned, s.pending)
	return v, nil
}

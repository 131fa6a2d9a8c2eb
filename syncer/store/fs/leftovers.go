package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"os"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// firstLook does, for each shard and volume that this process has not had before,
// what must come before the first listing: leftovers are removed, and what an
// earlier process wrote is flushed. A failed flush sticks (hazard 45).
func (s *Store) firstLook(ctx context.Context, v *view, dirs map[uint32]*shardDir) error {
	if !s.place.cleaned {
		if err := removeTemps(ctx, s.place.root); err != nil {
			return err
		}
		s.place.cleaned = true
	}
	err := each(slices.Collect(maps.Values(dirs)), func(d *shardDir) error { return d.clean(ctx) })
	if err != nil {
		return err
	}
	for _, vol := range v.volumes {
		if vol.flushed {
			continue
		}
		if err := vol.once(vol.open); err != nil {
			s.broken = fmt.Errorf("%w: %w", recovery.ErrInDoubt, err)
			return s.broken
		}
		vol.flushed = true
	}
	return nil
}

func (d *shardDir) clean(ctx context.Context) error {
	if d.cleaned {
		return nil
	}
	if err := removeTemps(ctx, d.root); err != nil {
		return fmt.Errorf("%s: %w", store.Place(d.number), err)
	}
	d.cleaned = true
	return nil
}

// leftoverBuffer is the size in bytes of the buffer that a shard's temporary files are
// listed with. There are few or none; a large one for each of many shards would cost
// more than the rest of Prepare.
const leftoverBuffer = 4 << 10

// removeTemps removes what an earlier process was writing. The root is locked, so
// no other is at it. What is no regular file is somebody else's and stays.
func removeTemps(ctx context.Context, root *os.Root) error {
	dir, err := openDir(root, store.TempDir)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	var names []string
	err = readEntries(ctx, dir, make([]byte, leftoverBuffer), func(name []byte, kind uint8) error {
		if !isTemp(string(name)) {
			return nil
		}
		ok, err := isRegular(dir, name, kind)
		if ok {
			names = append(names, string(name))
		}
		return err
	})
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	for _, name := range names {
		if err := root.Remove(store.TempDir + "/" + name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return fmt.Errorf("remove leftover: %w", err)
		}
	}
	return nil
}

// isTemp reports whether createTemp makes such names.
func isTemp(name string) bool { return len(name) == 16 && isHex(name) }

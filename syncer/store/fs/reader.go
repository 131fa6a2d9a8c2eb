package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"slices"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// Reader reads a store without its lock: for serving pieces, verifying them, and
// planning. It changes nothing, and may be used while a Store has the root. What
// it knows of markers, layout and directories is from when it first looked. Its
// methods may be called from many goroutines.
type Reader struct {
	root   *os.Root
	marker *store.RootMarker
	layout store.Layout

	mu     sync.Mutex // guards shards
	shards map[uint32]*shardDir
}

// OpenReader opens a store for reading. A root without marker is read in the
// layout that its files show. Errors wrap fs.ErrNotExist if there is none.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	root, err := openRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open store for reading: %w", err)
	}
	r := &Reader{root: root, shards: map[uint32]*shardDir{}}
	if r.marker, err = readMarker(root, store.DecodeRoot); err == nil {
		r.layout, err = r.findLayout(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s for reading: %w", path, err), root.Close())
	}
	return r, nil
}

func (r *Reader) findLayout(ctx context.Context) (store.Layout, error) {
	if r.marker != nil {
		return r.marker.Layout, nil
	}
	flat, fanout, err := traces(ctx, r.root)
	switch {
	case err != nil:
		return store.Auto, err
	case flat && fanout:
		return store.Auto, fmt.Errorf("%w: some shards are laid out flat and some fanned out, and there is no marker", recovery.ErrMisconfigured)
	case fanout:
		return store.Fanout, nil
	}
	return store.Flat, nil
}

// Marker returns the root's marker; ok is false if there is none.
func (r *Reader) Marker() (m store.RootMarker, ok bool) {
	if r.marker == nil {
		return store.RootMarker{}, false
	}
	return *r.marker, true
}

// Shards returns the numbers of the shard directories that are there, rising.
func (r *Reader) Shards() ([]uint32, error) {
	numbers, err := listShards(r.root)
	slices.Sort(numbers)
	return numbers, err
}

// Open opens a piece of a shard, or the manifest in store.Manifests, for reading and returns its size in bytes. Errors wrap
// fs.ErrNotExist if it is not there. Nothing but a regular file is opened.
func (r *Reader) Open(shard uint32, id recovery.BlobID) (*os.File, int64, error) {
	dir, err := r.shard(shard)
	if err != nil {
		return nil, 0, err
	}
	f, info, err := openRegular(dir.root, pieceName(r.layout, id))
	if err != nil {
		return nil, 0, fmt.Errorf("open piece in %s: %w", store.Place(shard), err)
	}
	return f, info.Size(), nil
}

// Walk calls fn for every piece, shard by shard and in rising order of the ids
// within each, with its size in bytes. An error of fn ends it and is returned.
func (r *Reader) Walk(ctx context.Context, fn func(shard uint32, id recovery.BlobID, size int64) error) error {
	numbers, err := r.Shards()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		dir, err := r.shard(n)
		if err != nil {
			return err
		}
		err = dir.walk(ctx, r.layout, func(id recovery.BlobID, size int64) error { return fn(n, id, size) })
		if err != nil {
			return fmt.Errorf("walk shard %d: %w", n, err)
		}
	}
	return nil
}

// walkWindow is the number of ids that a walk holds: 8 MiB of them.
const walkWindow = 256 << 10

func (d *shardDir) walk(ctx context.Context, layout store.Layout, fn func(recovery.BlobID, int64) error) error {
	buf := make([]byte, direntBuffer)
	for win := (window{}); !win.open; {
		next, _, err := d.read(ctx, layout, win.to, walkWindow, win.ids, buf)
		if err != nil {
			return err
		}
		win = next
		for _, id := range win.ids {
			if err := ctx.Err(); err != nil {
				return err
			}
			info, err := d.root.Lstat(pieceName(layout, id))
			if errors.Is(err, iofs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
				continue // it went, or was replaced, since it was listed
			}
			if err != nil {
				return err
			}
			if err := fn(id, info.Size()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Inventory tells what is stored for an ownership, by cfg's PieceSize and limits;
// cfg.Root is not looked at. Shards that are not there hold nothing. It ends with
// the Reader.
func (r *Reader) Inventory(cfg Config, req recovery.StoreRequest) (*Inventory, error) {
	if err := store.CheckRequest(req); err != nil {
		return nil, err
	}
	var owned []listed
	for number := range store.Places(req.Placement, req.Owned) {
		dir, err := r.shard(number)
		if errors.Is(err, iofs.ErrNotExist) {
			owned = append(owned, listed{})
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := readMarker(dir.root, store.DecodeShard)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", store.Place(number), err)
		}
		owned = append(owned, listed{dir: dir, foreign: r.marker == nil || r.marker.Foreign || m == nil || m.Foreign})
	}
	return newInventory(cfg.withDefaults(), r.layout, req, owned, nil), nil
}

func (r *Reader) shard(number uint32) (*shardDir, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.shards[number]; d != nil {
		return d, nil
	}
	d, err := openShardDir(r.root, number)
	if err != nil {
		return nil, err
	}
	r.shards[number] = d
	return d, nil
}

// Close lets go of every directory. Files that were opened stay open.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := []error{r.root.Close()}
	for _, d := range r.shards {
		errs = append(errs, d.close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// look finds out what is there.
func (s *Store) look(ctx context.Context, req recovery.StoreRequest) (store.Found, map[uint32]*shardDir, error) {
	if s.place == nil {
		return store.Found{Shards: map[uint32]store.FoundShard{}}, map[uint32]*shardDir{}, nil
	}
	return lookAt(ctx, s.place.root, req, func(number uint32) (*shardDir, error) {
		dir, err := s.place.shard(number)
		if err == nil {
			s.place.keep(dir)
		}
		return dir, err
	})
}

// lookAt finds out what is in a root; open opens the directory of a shard.
func lookAt(ctx context.Context, root *os.Root, req recovery.StoreRequest, open func(uint32) (*shardDir, error)) (store.Found, map[uint32]*shardDir, error) {
	dirs := map[uint32]*shardDir{}
	found := store.Found{Root: true, Shards: map[uint32]store.FoundShard{}}
	var err error
	if found.Marker, err = readMarker(root, store.DecodeRoot); err != nil {
		return found, nil, err
	}
	if found.Marker == nil {
		if found.Flat, found.Fanout, err = traces(ctx, root); err != nil {
			return found, nil, err
		}
	}
	for number := range store.Places(req.Placement, req.Owned) {
		dir, err := open(number)
		if errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found, nil, err
		}
		seen, err := dir.look(ctx)
		if err != nil {
			return found, nil, err
		}
		dirs[number], found.Shards[number] = dir, seen
	}
	return found, dirs, nil
}

// look reads a shard's marker, or finds out that the directory is empty.
func (d *shardDir) look(ctx context.Context) (seen store.FoundShard, err error) {
	if seen.Marker, err = readMarker(d.root, store.DecodeShard); err != nil {
		return seen, fmt.Errorf("%s: %w", store.Place(d.number), err)
	}
	if seen.Marker == nil {
		var trace store.Layout
		trace, err = traceIn(ctx, d.root, ".")
		seen.Empty = trace == store.Auto
	}
	return seen, err
}

// traces looks through a root without marker: is there something like a piece in
// any directory that is named like a shard, and in which layout?
func traces(ctx context.Context, root *os.Root) (flat, fanout bool, err error) {
	numbers, err := listShards(root)
	if err != nil {
		return false, false, err
	}
	for _, n := range numbers {
		seen, err := traceIn(ctx, root, strconv.FormatUint(uint64(n), 10))
		if err != nil {
			return false, false, err
		}
		flat = flat || seen == store.Flat
		fanout = fanout || seen == store.Fanout
	}
	return flat, fanout, nil
}

// errFound ends a listing that has seen enough.
var errFound = errors.New("found")

// traceIn tells the layout by the first piece or sub-directory of pieces in a
// shard's directory; Auto if there is none.
func traceIn(ctx context.Context, root *os.Root, name string) (seen store.Layout, err error) {
	dir, err := openDir(root, name)
	if err != nil {
		return store.Auto, fmt.Errorf("look for pieces: %w", err)
	}
	defer func() { _ = dir.Close() }() // only read
	var id recovery.BlobID
	err = readEntries(ctx, dir, make([]byte, direntBuffer), func(name []byte, _ uint8) error {
		switch {
		case parseID(name, &id):
			seen = store.Flat
		case len(name) == 2 && isHex(string(name)):
			seen = store.Fanout
		default:
			return nil
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return seen, err
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// read returns the window of the shard's listing that begins at id: all of the
// directory in the flat layout, the id's sub-directory in the fanout one, or the
// first part of it that has at most limit ids. seen counts the pieces in the
// directory. old is memory to use again, buf what the directory is read with.
func (d *shardDir) read(ctx context.Context, layout store.Layout, id recovery.BlobID, limit int, old []recovery.BlobID, buf []byte) (win window, seen int, err error) {
	bounds, name := window{from: id, open: true}, "."
	if layout == store.Fanout {
		name = fanName(id[0])
		if id[0] < 0xff {
			bounds.to, bounds.open = recovery.BlobID{id[0] + 1}, false
		}
	}
	c := newCollector(bounds, limit, old)
	dir, err := openDir(d.root, name)
	if layout == store.Fanout && errors.Is(err, iofs.ErrNotExist) {
		return c.window(), 0, nil
	}
	if err != nil {
		return window{}, 0, err
	}
	err = c.fill(ctx, dir, buf)
	if err = errors.Join(err, dir.Close()); err != nil {
		return window{}, 0, err
	}
	return c.window(), c.seen, nil
}

// fill offers every piece in a directory to the collector.
func (c *collector) fill(ctx context.Context, dir *os.File, buf []byte) error {
	var id recovery.BlobID
	return readEntries(ctx, dir, buf, func(name []byte, kind uint8) error {
		if !parseID(name, &id) {
			return nil
		}
		ok, err := isRegular(dir, name, kind)
		if ok {
			c.add(&id)
		}
		return err
	})
}

// openDir opens a directory of root for listing, never through a symbolic link.
func openDir(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a %s, not a directory", joined(root, name), kindOf(info))
	}
	return root.Open(name)
}

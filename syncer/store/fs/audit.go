package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// Path returns where a piece lies, for messages.
func (r *Reader) Path(shard uint32, id recovery.BlobID) string {
	return fmt.Sprintf("%s/%s/%s", r.root.Name(), store.DirName(shard), pieceName(r.layout, id))
}

// OpenPiece opens a piece, as Store.OpenPiece does.
func (r *Reader) OpenPiece(ctx context.Context, p syncer.Piece) (io.ReadCloser, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	return r.Open(store.PlaceOf(p), p.Blob.ID)
}

// HasShard reports whether the directory of a shard, or of the store.Manifests, is
// there.
func (r *Reader) HasShard(shard uint32) (bool, error) {
	_, err := r.shard(shard)
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// List returns the lowest ids of the pieces of a shard that are not below from, in
// rising order and at most limit (2 or more) of them, and where it ended: everything
// below the mark was listed. It reads all of the directory whatever the limit. ids is
// memory to use again.
func (r *Reader) List(ctx context.Context, shard uint32, from recovery.BlobID, limit int, ids []recovery.BlobID) ([]recovery.BlobID, recovery.Mark, error) {
	dir, err := r.shard(shard)
	if err != nil {
		return nil, recovery.Mark{}, err
	}
	win, _, err := dir.read(ctx, r.layout, from, limit, ids, make([]byte, direntBuffer))
	if err != nil {
		return nil, recovery.Mark{}, fmt.Errorf("list %s: %w", store.Place(shard), err)
	}
	to := recovery.MarkEnd()
	if !win.open {
		to = recovery.MarkAt(win.to)
	}
	return win.ids, to, nil
}

// Strays calls fn with the path of everything in a shard's directory that is
// neither a piece at its place nor the store's own, and with what it is.
func (r *Reader) Strays(ctx context.Context, shard uint32, fn func(path, kind string) error) error {
	dir, err := r.shard(shard)
	if err != nil {
		return err
	}
	if err := dir.strays(ctx, ".", r.layout, fn); err != nil {
		return fmt.Errorf("look for strays in %s: %w", store.Place(shard), err)
	}
	return nil
}

// strays looks through one directory of the shard; in the fanout layout "." holds
// the others.
func (d *shardDir) strays(ctx context.Context, name string, layout store.Layout, fn func(path, kind string) error) error {
	dir, err := openDir(d.root, name)
	if err != nil {
		return err
	}
	var fans []string
	var id recovery.BlobID
	err = readEntries(ctx, dir, make([]byte, direntBuffer), func(entry []byte, kind uint8) error {
		if (layout == store.Flat || name != ".") && kind == unix.DT_REG && parseID(entry, &id) && (name == "." || name == string(entry[:2])) {
			return nil // a piece at its place: nearly all there is
		}
		text := string(entry)
		info, err := d.root.Lstat(name + "/" + text)
		switch {
		case name == "." && (text == store.MarkerName || text == store.TempDir), text == ".", text == "..":
			return nil
		case errors.Is(err, iofs.ErrNotExist):
			return nil // it went meanwhile
		case err != nil:
			return err
		case layout == store.Fanout && name == "." && len(text) == 2 && isHex(text) && info.IsDir():
			fans = append(fans, text)
			return nil
		case info.Mode().IsRegular() && parseID(entry, &id) && (layout == store.Flat || name == text[:2]):
			return nil
		}
		return fn(joined(d.root, name+"/"+text), kindOf(info))
	})
	err = errors.Join(err, dir.Close())
	for _, fan := range fans {
		if err == nil {
			err = d.strays(ctx, fan, layout, fn)
		}
	}
	return err
}

// Uncache asks the kernel to forget what it keeps of an open file: bytes that are
// read afterwards come from the disk, and bytes that were read leave room for
// others. It is a hint; unwritten bytes stay.
func Uncache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

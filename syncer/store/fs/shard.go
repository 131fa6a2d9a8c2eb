package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// shardDir is the open directory of a shard, or of the manifests. Its methods may be called from many
// goroutines.
type shardDir struct {
	number uint32 // or store.Manifests
	root   *os.Root
	info   fs.FileInfo
	fans   fans
	own    handle // of the directory itself
	temps  handle // of the one for temporary names in it
	// cleaned: leftovers were removed. Only Prepare looks at it.
	cleaned bool
}

// openShardDir opens a shard's directory. A symbolic link is refused even where
// it stays inside of the root: what it leads to is somebody else's.
func openShardDir(root *os.Root, number uint32) (*shardDir, error) {
	sub, info, err := openSubdir(root, store.DirName(number))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", store.Place(number), err)
	}
	return &shardDir{number: number, root: sub, info: info}, nil
}

// openSubdir opens the directory name of root, and nothing else.
func openSubdir(root *os.Root, name string) (*os.Root, fs.FileInfo, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		return nil, nil, fmt.Errorf("%s is a %s, not a directory", joined(root, name), kindOf(info))
	}
	sub, err := root.OpenRoot(name)
	if err != nil {
		return nil, nil, err
	}
	now, err := sub.Stat(".")
	if err == nil && !os.SameFile(info, now) {
		err = fmt.Errorf("%s was replaced while it was opened", joined(root, name))
	}
	if err != nil {
		return nil, nil, errors.Join(err, sub.Close())
	}
	return sub, now, nil
}

// device is the number of the volume that the directory lies on.
func (d *shardDir) device() uint64 {
	return uint64(d.info.Sys().(*syscall.Stat_t).Dev)
}

// pieceName returns where a piece lies within its shard.
func pieceName(layout store.Layout, id recovery.BlobID) string {
	name := id.String()
	if layout == store.Fanout {
		return name[:2] + "/" + name
	}
	return name
}

// has reports whether a piece of that size (or of any, if it is unknown) is
// there. Something else than a regular file is an error wrapping store.ErrIrregular.
func (d *shardDir) has(layout store.Layout, id recovery.BlobID, size int64) (bool, error) {
	name := pieceName(layout, id)
	isRegular, bytes, err := d.stat(layout, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err == nil && !isRegular:
		err = d.irregular(name)
	}
	if err != nil {
		return false, fmt.Errorf("look for a piece in %s: %w", store.Place(d.number), err)
	}
	return size == recovery.SizeUnknown || bytes == size, nil
}

// stat looks at a piece, and follows no link.
func (d *shardDir) stat(layout store.Layout, name string) (isRegular bool, size int64, err error) {
	if layout == store.Fanout { // two components: for an os.Root
		info, err := d.root.Lstat(name)
		if err != nil {
			return false, 0, err
		}
		return info.Mode().IsRegular(), info.Size(), nil
	}
	var st unix.Stat_t
	err = d.inShard(func(dir int) error {
		return retryEINTR(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	})
	return st.Mode&unix.S_IFMT == unix.S_IFREG, st.Size, os.NewSyscallError("fstatat", err)
}

// irregular says what stands under a piece's name.
func (d *shardDir) irregular(name string) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is a %s, %w", name, kindOf(info), store.ErrIrregular)
}

// flush makes the names in one directory of the shard durable; "." is its own.
func (d *shardDir) flush(name string) error {
	if err := flushDir(d.root, name); err != nil {
		return fmt.Errorf("flush %s: %w", store.Place(d.number), err)
	}
	return nil
}

// flushDir fsyncs a directory.
func flushDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	if err := errors.Join(inDoubt(dir.Sync()), dir.Close()); err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	return nil
}

// inDoubt says of a failed flush that another one would prove nothing (hazard 45).
func inDoubt(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", recovery.ErrInDoubt, err)
}

// fans remembers which of a shard's 256 sub-directories are known to be there,
// and which of those have a durable name. The zero value knows none.
type fans struct {
	mu    sync.Mutex
	state [256]fanState
}

type fanState uint8

const (
	fanUnknown fanState = iota
	fanMade
	fanDurable
)

func (f *fans) get(fan byte) fanState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state[fan]
}

func (f *fans) set(fan byte, to fanState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state[fan] = max(f.state[fan], to)
}

// forget makes a fan unknown: its directory turned out to be gone.
func (f *fans) forget(fan byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state[fan] = fanUnknown
}

// needFan makes the sub-directory of a fan if it is not there. Its name is
// durable after a flush of the shard's directory, or of the volume.
func (d *shardDir) needFan(fan byte) error {
	if d.fans.get(fan) != fanUnknown {
		return nil
	}
	name := fanName(fan)
	if err := d.root.Mkdir(name, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a directory: %w", err)
	}
	info, err := d.root.Lstat(name)
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is a %s, not a directory", name, kindOf(info))
	}
	d.fans.set(fan, fanMade)
	return nil
}

func fanName(fan byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[fan>>4], digits[fan&15]})
}

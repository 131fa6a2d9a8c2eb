package fs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

// ErrLocked: another process, or another Store of this one, has the root. Two
// state directories on one store must not meet.
var ErrLocked = errors.New("fs: the store is in use by another process")

// place is a directory that the configured root resolved to, and its lock. The
// same path may resolve to another one later: a disk was mounted over it.
type place struct {
	root   *os.Root
	info   fs.FileInfo
	lock   *os.File
	shards map[uint32]*shardDir // opened last under each number
	former []*shardDir          // replaced on disk; drafts may still be in them

	used    bool // it was prepared once
	cleaned bool // leftovers were removed from the root itself
}

// openPlace opens and locks what path resolves to. Errors wrap fs.ErrNotExist
// if there is nothing, and ErrLocked.
func openPlace(path string) (*place, error) {
	root, err := openRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the store's root: %w", err)
	}
	p := &place{root: root, shards: map[uint32]*shardDir{}}
	if p.info, err = root.Stat("."); err == nil {
		p.lock, err = takeLock(root)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store's root %s: %w", path, err), root.Close())
	}
	return p, nil
}

// openRoot opens what a path leads to, which may be a link: it is the operator's. It is
// looked at first, since opening a pipe would wait for its other end.
func openRoot(path string) (*os.Root, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a %s, not a directory", path, kindOf(info))
	}
	return os.OpenRoot(path)
}

// takeLock flocks the lock file, making it if need be. It is never renamed or
// removed: two first starters must meet at one inode (hazard 89).
func takeLock(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(store.LockName, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := mustBeAt(root, store.LockName, f); err != nil {
		return nil, errors.Join(fmt.Errorf("open the lock file: %w", err), f.Close())
	}
	err = retryEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(ErrLocked, f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", store.LockName, err), f.Close())
	}
	return f, nil
}

// isAt reports whether path still resolves to this place.
func (p *place) isAt(path string) (bool, error) {
	now, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("look at the store's root: %w", err)
	}
	return os.SameFile(now, p.info), nil
}

// shard opens the directory of a shard, or returns the handle opened before if
// it is still the same directory. Errors wrap fs.ErrNotExist.
func (p *place) shard(number uint32) (*shardDir, error) {
	name := store.DirName(number)
	if known := p.shards[number]; known != nil {
		now, err := p.root.Lstat(name)
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", store.Place(number), err)
		}
		if os.SameFile(now, known.info) {
			return known, nil
		}
	}
	return openShardDir(p.root, number)
}

// keep remembers a shard's handle until the place is closed.
func (p *place) keep(d *shardDir) {
	if old := p.shards[d.number]; old != nil && old != d {
		p.former = append(p.former, old)
	}
	p.shards[d.number] = d
}

// listShards returns the numbers of the directories that are named like shards,
// in no particular order.
func listShards(root *os.Root) ([]uint32, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("list the store's root: %w", err)
	}
	defer func() { _ = dir.Close() }() // only read
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list the store's root: %w", err)
	}
	var numbers []uint32
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 32)
		if err == nil && n < shards.MaxTotal && e.IsDir() && strconv.FormatUint(n, 10) == e.Name() {
			numbers = append(numbers, uint32(n))
		}
	}
	return numbers, nil
}

// close releases the lock last.
func (p *place) close() error {
	var errs []error
	for _, s := range p.former {
		errs = append(errs, s.close())
	}
	for _, s := range p.shards {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, p.root.Close(), p.lock.Close())...)
}

// makeRoot makes the root in an existing directory, durably. A missing parent
// is not made: more often than not it is a disk that is not mounted.
func makeRoot(path string) error {
	if err := os.Mkdir(path, dirMode); err != nil {
		return fmt.Errorf("make the store's root: %w", err)
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("flush the directory of the store's root: %w", err)
	}
	if err := errors.Join(inDoubt(parent.Sync()), parent.Close()); err != nil {
		return fmt.Errorf("flush the directory of the store's root: %w", err)
	}
	return nil
}

// Directories and files are readable by others as far as the umask lets them:
// the node and web servers serve them.
const (
	dirMode  fs.FileMode = 0o755
	fileMode fs.FileMode = 0o644
)

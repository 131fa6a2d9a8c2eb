package archive

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Config says where an archive lies and what it may take.
type Config struct {
	// Dir is the directory; it must be there.
	Dir string
	// Network is the only network whose snapshots are listed as usable; default:
	// any.
	Network string
	// MinFree is what creating a snapshot leaves free in the file system, in
	// bytes; default: the larger of 5 % and 1 GiB; negative: nothing.
	MinFree int64
}

// Validate reports the first value that makes no sense.
func (c Config) Validate() error {
	if c.Dir == "" {
		return errors.New("archive: no directory is named")
	}
	return nil
}

// Archive is a directory of snapshots. It holds nothing open and may be used by
// many goroutines; other processes may use the directory at the same time:
//
//   - a draft is locked by whoever writes it, and is not looked at by others;
//   - what publishes, cleans and removes holds the directory's own lock;
//   - a snapshot that is open has a shared lock on its first file, and stays.
//
// All locks are flocks: they end with their process (hazard 50).
type Archive struct {
	cfg  Config
	disk disk
	// failed: the last creation did not succeed, so nothing is pruned (hazard 53).
	failed atomic.Bool
}

// Open returns the archive in a directory, which it only looks at.
func Open(cfg Config) (*Archive, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	info, err := os.Stat(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open archive: %s is not a directory", cfg.Dir)
	}
	return &Archive{cfg: cfg, disk: osDisk{}}, nil
}

// Dir is the archive's directory.
func (a *Archive) Dir() string { return a.cfg.Dir }

func (a *Archive) path(name string) string { return filepath.Join(a.cfg.Dir, name) }

// paths returns where an entry's files lie.
func (a *Archive) paths(e Entry) (paths []string) {
	for _, f := range e.Files() {
		paths = append(paths, a.path(f.String()))
	}
	return paths
}

// Room returns a *SpaceError if need more bytes do not fit.
func (a *Archive) Room(need int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(a.cfg.Dir, &fs); err != nil {
		return fmt.Errorf("look at free space in %s: %w", a.cfg.Dir, err)
	}
	free, total := blocks(fs.Bavail, fs.Bsize), blocks(fs.Blocks, fs.Bsize)
	minFree := a.cfg.MinFree
	switch {
	case minFree < 0:
		minFree = 0
	case minFree == 0:
		minFree = max(total/20, 1<<30)
	}
	if need > free || free-need < minFree {
		return &SpaceError{Dir: a.cfg.Dir, Free: free, Need: need, MinFree: minFree}
	}
	return nil
}

func blocks(n uint64, size int64) int64 {
	if size <= 0 || n > math.MaxInt64/uint64(size) {
		return math.MaxInt64
	}
	return int64(n) * size
}

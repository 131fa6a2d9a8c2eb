package snapshot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// output is where a writer's bytes go. Commit publishes all that was written
// under the final name, durably; Abort leaves nothing behind. Exactly one of
// them ends it, and either does so also when it returns an error.
type output interface {
	io.Writer
	io.ReaderAt
	Commit() error
	Abort() error
}

// leftoverSuffix ends the name of a file under way, which begins with a dot.
const leftoverSuffix = ".rsnap-tmp"

// pending is an output in the directory of its final name. It is locked while
// it is open, so that nobody takes it for a leftover (hazard 49).
type pending struct {
	*os.File
	path    string
	written int64
	started int64 // bytes that the kernel was told to write out
}

// writeOut is how many bytes are left to the page cache before the kernel is
// told to begin writing them to the disk, which halves the time of Commit.
const writeOut = 8 << 20

// Write implements output.
func (p *pending) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.written += int64(n)
	if err == nil && p.written-p.started >= writeOut {
		// Only a hint: whether the bytes are durable is Commit's to find out.
		_ = unix.SyncFileRange(int(p.Fd()), p.started, p.written-p.started, unix.SYNC_FILE_RANGE_WRITE)
		p.started = p.written
	}
	return n, err
}

func createPending(path string) (*pending, error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()+leftoverSuffix)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	p := &pending{File: f, path: path}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), p.Abort())
	}
	return p, nil
}

// Commit makes the bytes durable before the name, and the name before it
// returns. The error of each step counts, that of closing too (hazards 46, 47).
func (p *pending) Commit() error {
	if err := p.Sync(); err != nil {
		return errors.Join(fmt.Errorf("flush snapshot: %w", err), p.Abort())
	}
	if err := p.Close(); err != nil {
		return errors.Join(fmt.Errorf("close snapshot: %w", err), os.Remove(p.Name()))
	}
	if err := os.Rename(p.Name(), p.path); err != nil {
		return errors.Join(fmt.Errorf("publish snapshot: %w", err), os.Remove(p.Name()))
	}
	return syncDir(filepath.Dir(p.path))
}

func (p *pending) Abort() error {
	err := p.Close()
	if rm := os.Remove(p.Name()); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// RemoveLeftovers removes what writers that were killed left in dir, and
// returns the names. A file that a living writer holds stays.
func RemoveLeftovers(dir string) (removed []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list leftovers: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), leftoverSuffix) {
			continue
		}
		switch err := removeUnlocked(filepath.Join(dir, e.Name())); {
		case err == nil:
			removed = append(removed, e.Name())
		case !errors.Is(err, unix.EWOULDBLOCK):
			return removed, fmt.Errorf("remove leftover %s: %w", e.Name(), err)
		}
	}
	return removed, nil
}

func removeUnlocked(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only locked
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	return os.Remove(name)
}

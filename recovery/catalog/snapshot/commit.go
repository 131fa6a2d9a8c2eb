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

// storage is where a writer's files go.
type storage interface {
	// create begins a file that nobody sees yet.
	create() (output, error)
	// settle makes the names of published files durable.
	settle() error
}

// output is one file under way. Flush makes its bytes durable and ends the
// writing; Publish then gives it its name. Abort leaves nothing behind of a file
// that was not published; it may follow anything.
type output interface {
	io.Writer
	io.ReaderAt
	io.WriterAt
	Flush() error
	Publish(name string) error
	Abort() error
}

// directory is a storage. Its files carry a name of their own until they are
// published.
type directory struct {
	path string
	hint string // part of those names
	// volatile: nothing is made durable. For measurements only.
	volatile bool
}

// create implements storage.
func (d directory) create() (output, error) {
	p, err := createPending(d.path, d.hint)
	if err != nil {
		return nil, err
	}
	p.volatile = d.volatile
	return p, nil
}

// settle implements storage.
func (d directory) settle() error {
	if d.volatile {
		return nil
	}
	return syncDir(d.path)
}

// leftoverSuffix ends the name of a file under way, which begins with a dot.
const leftoverSuffix = ".rsnap-tmp"

// pending is an output in the directory of its final name. It is locked while
// it is written, so that nobody takes it for a leftover (hazard 49).
type pending struct {
	*os.File
	written   int64
	started   int64 // bytes that the kernel was told to write out
	room      int64 // bytes that the file system was told to make room for
	volatile  bool  // see directory
	closed    bool
	published bool
}

// writeOut is how many bytes are left to the page cache before the kernel is
// told to begin writing them to the disk, which halves the time of Flush.
const writeOut = 8 << 20

// roomAhead is how much room is asked for ahead of large files, in bytes, which
// makes writing to the page cache half as fast again.
const roomAhead = 4 << 20

// Write implements output.
func (p *pending) Write(b []byte) (int, error) {
	if end := p.written + int64(len(b)); end > p.room && end > roomAhead/4 {
		// Only a hint: whether there is room the write finds out.
		p.room = max(p.room, p.written)
		_ = unix.Fallocate(int(p.Fd()), unix.FALLOC_FL_KEEP_SIZE, p.room, roomAhead)
		p.room += roomAhead
	}
	n, err := p.File.Write(b)
	p.written += int64(n)
	if err == nil && !p.volatile && p.written-p.started >= writeOut {
		// Only a hint: whether the bytes are durable is Flush's to find out.
		_ = unix.SyncFileRange(int(p.Fd()), p.started, p.written-p.started, unix.SYNC_FILE_RANGE_WRITE)
		p.started = p.written
	}
	return n, err
}

func createPending(dir, hint string) (*pending, error) {
	name := filepath.Join(dir, "."+hint+"."+rand.Text()+leftoverSuffix)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	p := &pending{File: f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), p.Abort())
	}
	return p, nil
}

// Flush implements output. The error of each step counts, that of closing too
// (hazards 46, 47).
func (p *pending) Flush() error {
	if p.room > p.written {
		if err := p.Truncate(p.written); err != nil {
			return fmt.Errorf("give room back: %w", err)
		}
	}
	if !p.volatile {
		if err := p.Sync(); err != nil {
			return fmt.Errorf("flush snapshot: %w", err)
		}
	}
	p.closed = true
	if err := p.Close(); err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// Publish implements output.
func (p *pending) Publish(name string) error {
	if err := os.Rename(p.Name(), filepath.Join(filepath.Dir(p.Name()), name)); err != nil {
		return fmt.Errorf("publish snapshot: %w", err)
	}
	p.published = true
	return nil
}

// Abort implements output.
func (p *pending) Abort() (err error) {
	if !p.closed {
		p.closed = true
		err = p.Close()
	}
	if p.published {
		return err
	}
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

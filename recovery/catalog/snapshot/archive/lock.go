package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that is held is tried again.
const lockPoll = 50 * time.Millisecond

// lock takes the directory's lock, which others hold for moments only, and
// returns what gives it back.
func (a *Archive) lock(ctx context.Context) (unlock func(), err error) {
	dir, err := os.Open(a.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("lock archive: %w", err)
	}
	if err := await(ctx, dir, unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock archive %s: %w", a.cfg.Dir, err), dir.Close())
	}
	return func() { _ = dir.Close() }, nil // only locked
}

// await takes a lock on an open file as soon as nobody else is in the way.
func await(ctx context.Context, f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sameInode reports whether an open file is still what its name leads to.
func sameInode(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// claims are exclusive locks on what is about to be removed, so that nobody
// begins to read it.
type claims struct {
	a    *Archive
	held []*os.File
}

// inUse reports whether somebody reads e, and claims it if not. What cannot be
// found out counts as use.
func (c *claims) inUse(e Entry) bool {
	f, err := os.Open(c.a.paths(e)[0])
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // only looked at
		return true
	}
	c.held = append(c.held, f)
	return false
}

func (c *claims) release() {
	for _, f := range c.held {
		_ = f.Close() // only locked
	}
}

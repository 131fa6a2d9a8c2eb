package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// lockPoll is the time between two tries to lock.
const lockPoll = 10 * time.Millisecond

// dirLock is a held lock on a state directory. The kernel releases it when the
// process ends, however it ends (hazard 50).
type dirLock struct{ f *os.File }

// lockDir takes the exclusive lock, waiting for at most timeout. The file is
// made if it is missing, and never renamed or removed: two processes that both
// find nothing still meet on one inode (hazard 89). Errors wrap ErrLocked or
// ErrCreate.
func lockDir(dir string, timeout time.Duration) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCreate, err)
	}
	if err := flockWithin(f, unix.LOCK_EX, timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
	}
	return &dirLock{f: f}, nil
}

// peekLock takes the shared lock if it is free at once, and makes nothing. A
// directory without a lock file was never used, so nobody is in it: the lock
// returned is nil then.
func peekLock(dir string) (l *dirLock, free bool, err error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	if err := flockWithin(f, unix.LOCK_SH, 0); err != nil {
		if cerr := f.Close(); cerr != nil || !errors.Is(err, ErrLocked) {
			return nil, false, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), cerr)
		}
		return nil, false, nil
	}
	return &dirLock{f: f}, true, nil
}

func flockWithin(f *os.File, how int, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("flock: %w", err)
		case !time.Now().Before(deadline):
			return ErrLocked
		}
		time.Sleep(lockPoll)
	}
}

// release gives the lock back. A nil lock is none.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

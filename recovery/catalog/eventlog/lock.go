package eventlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockName = "lock"
	dirMode  = 0o700
	fileMode = 0o600
	// lockPoll is the time between two tries to lock.
	lockPoll = 10 * time.Millisecond
)

// lockDir makes the directory if it is missing and takes its lock, waiting for
// at most timeout, before anything in it is read or made. The lock's file is never
// renamed or removed: two processes that both find nothing meet on one inode
// (hazard 89). The kernel gives it back when the process ends, however it ends
// (hazard 50). Errors wrap ErrLocked or ErrCreate.
func lockDir(dir string, timeout time.Duration) (*os.File, error) {
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: %w", ErrCreate, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCreate, err)
	}
	deadline := time.Now().Add(timeout)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			if err := syncDir(filepath.Dir(dir)); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return f, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		case !time.Now().Before(deadline):
			return nil, errors.Join(fmt.Errorf("%w: %s", ErrLocked, f.Name()), f.Close())
		}
		time.Sleep(lockPoll)
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

package boltdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Files that a restore leaves or makes beside the catalog's own, which is never
// opened for writing.
func lockName(path string) string  { return beside(path, ".lock") }
func draftName(path string) string { return beside(path, ".restoring") }

func beside(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

// lock takes the right to restore path. The kernel gives it back when the
// process ends, however it ends. The file is never renamed or removed, so that
// two restores that both find nothing meet on one inode (hazards 50, 89).
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(lockName(path), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("%w: it holds %s", ErrBusy, f.Name()), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

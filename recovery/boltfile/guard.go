package boltfile

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

var (
	// ErrLocked: another program has the file open.
	ErrLocked = errors.New("boltfile: another program has it open")
	// ErrPanicked: bbolt panicked, or faulted in the memory that it maps: a disk that
	// cannot be read any more, a file cut by someone else. It may hold its own locks
	// for ever, so the database can't be closed: only its file can, which releases it
	// to others.
	ErrPanicked = errors.New("bbolt panicked")
)

// Damage says what is wrong with a file's bytes. It is never an error of the operating
// system (hazard 43).
type Damage struct{ What string }

func (d *Damage) Error() string { return d.What }

func damaged(format string, args ...any) error { return &Damage{fmt.Sprintf(format, args...)} }

// Open opens a file that passed Walk, or makes an empty one, and waits no longer than
// timeout for another program. Errors wrap ErrLocked or ErrPanicked, or are bbolt's
// own. The file is bbolt's: it is for closing after a panic.
func Open(path string, mode os.FileMode, timeout time.Duration) (db *bbolt.DB, file *os.File, err error) {
	err = Guard(func() (err error) {
		db, err = bbolt.Open(path, mode, &bbolt.Options{
			Timeout: timeout, PageSize: PageSize,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, perm)
				file = f
				return f, err
			},
		})
		return err
	})
	switch {
	case err == nil:
		return db, file, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, nil, fmt.Errorf("%w: %s", ErrLocked, path)
	case errors.Is(err, ErrPanicked) && file != nil:
		err = errors.Join(err, file.Close())
	}
	return nil, nil, fmt.Errorf("open %s: %w", path, err)
}

// Guard runs a use of bbolt, and turns panics and faults into errors that wrap
// ErrPanicked.
func Guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrPanicked, p)
		}
	}()
	return fn()
}

// Close gives a database back, or after a panic its file alone. That is still mapped
// then, and the mapping would keep the lock, so it is given up by name.
func Close(db *bbolt.DB, file *os.File, panicked bool) error {
	if panicked {
		return errors.Join(unix.Flock(int(file.Fd()), unix.LOCK_UN), file.Close())
	}
	return Guard(db.Close)
}

package eventlog

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked: another process uses the directory (exit code 75).
	ErrLocked = errors.New("eventlog: locked by another process")
	// ErrCreate: the directory, or something in it, cannot be made (exit code 73; 74
	// where the disk fails or is full).
	ErrCreate = errors.New("eventlog: cannot create state")
	// ErrVersion: log.db is of a newer version of this program; it is left
	// untouched.
	ErrVersion = errors.New("eventlog: unsupported version")
	// ErrUnfinished: a restore did not come to its end. It has to be run again.
	ErrUnfinished = errors.New("eventlog: a restore is unfinished")
	// ErrNotEmpty: the directory has a log already.
	ErrNotEmpty = errors.New("eventlog: the directory is in use")
	// ErrFailed: a commit failed, so what is on disk is not known. Nothing works
	// from then on (I12); the process leaves with exit code 74.
	ErrFailed = errors.New("eventlog: a write failed")
	// ErrConflict: an event has the number of one that was applied, and is another.
	ErrConflict = errors.New("eventlog: two events have one number")
	// ErrPastStop: the position is beyond the one to stop at.
	ErrPastStop = errors.New("eventlog: beyond the position to stop at")
	// ErrPools: the state has more pools than a snapshot can hold.
	ErrPools = errors.New("eventlog: too many pools")
)

// DamageError says what in log.db contradicts itself. It is never an error of
// the operating system (hazard 43).
type DamageError struct {
	Path string
	What string
	Err  error // what stands behind it, or nil: a *event.MissingError for a hole among the events
}

// Error names the file and the damage.
func (e *DamageError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("eventlog: %s is damaged: %s: %v", e.Path, e.What, e.Err)
	}
	return fmt.Sprintf("eventlog: %s is damaged: %s", e.Path, e.What)
}

// Unwrap returns what stands behind it.
func (e *DamageError) Unwrap() error { return e.Err }

// damaged is a DamageError whose path is filled in by whoever knows it.
func damaged(format string, args ...any) error {
	return &DamageError{What: fmt.Sprintf(format, args...)}
}

// isDamage reports whether err is about bytes of log.db.
func isDamage(err error) bool {
	var d *DamageError
	return errors.As(err, &d)
}

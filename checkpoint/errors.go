package checkpoint

import (
	"errors"
	"fmt"
)

var (
	// ErrConfig reports a Config that makes no sense.
	ErrConfig = errors.New("checkpoint: bad configuration")
	// ErrLocked: another process holds the state directory. Nothing was read or
	// changed. A command leaves with exit code 75.
	ErrLocked = errors.New("checkpoint: another process uses the state directory")
	// ErrCreate: the directory or a file in it could not be made, or not made
	// durable. A command leaves with exit code 73 if the place cannot be written,
	// and with 74 if the disk fails or is full.
	ErrCreate = errors.New("checkpoint: cannot create state")
	// ErrVersion: an intact copy was written in a format this program does not
	// know. It was left untouched.
	ErrVersion = errors.New("checkpoint: written by a newer version")
	// ErrRecord: the record contradicts itself or goes beyond a limit. Nothing
	// was written, and the store can be used on.
	ErrRecord = errors.New("checkpoint: record refused")
	// ErrStale: the record is of a run that is over. Nothing was written, and the
	// store can be used on.
	ErrStale = errors.New("checkpoint: record of an older run refused")
	// ErrFailed: a write failed, and whether it is durable is not known. The store
	// refuses everything from then on (I12); a command leaves with exit code 74.
	ErrFailed = errors.New("checkpoint: a write failed, progress may not be durable")
	// ErrClosed: used after Close.
	ErrClosed = errors.New("checkpoint: closed")
)

// damage says what is wrong with the bytes of a copy. It is never an error of
// the operating system, which must not be taken for damage (hazard 43).
type damage string

func (d damage) Error() string { return string(d) }

func damaged(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }

// isDamage reports whether err is about the bytes, so that another copy may be
// used in their place.
func isDamage(err error) bool {
	var d damage
	return errors.As(err, &d)
}

package snapshot

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrNotSnapshot: the file does not begin as a snapshot does.
	ErrNotSnapshot = errors.New("snapshot: not a snapshot file")
	// ErrUnsupported: a snapshot, but of a version or kind that this program
	// does not read. It is left untouched.
	ErrUnsupported = errors.New("snapshot: unsupported version or kind")
	// ErrKind: a full snapshot where an incremental one is needed, or the other
	// way round.
	ErrKind = errors.New("snapshot: wrong kind")
	// ErrOrder: rows were not given in strictly increasing key order, or a
	// table after a later one.
	ErrOrder = errors.New("snapshot: rows out of order")
	// ErrRow: a row or header that the format cannot hold.
	ErrRow = errors.New("snapshot: bad row")
	// ErrOrphan: a registration names a blob or a pool that is not there.
	ErrOrphan = errors.New("snapshot: dangling registration")
	// ErrClosed: the writer or reader is not open any more.
	ErrClosed = errors.New("snapshot: closed")
)

// CorruptError says where a file contradicts the format. Nothing that was read
// from such a file after that place may be believed.
type CorruptError struct {
	Path   string
	Offset int64 // byte at or after which the damage was noticed
	What   string
}

// Error names the file, the place, the damage and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("snapshot: %s is damaged at byte %d: %s (replace it by a good copy)", e.Path, e.Offset, e.What)
}

// damage collects what is needed to build a CorruptError close to where the
// damage is noticed.
type damage struct{ path string }

func (d damage) at(offset int64, format string, args ...any) error {
	return &CorruptError{Path: d.path, Offset: offset, What: fmt.Sprintf(format, args...)}
}

// read tells a file that ends early, which is damage, from one that could not
// be read, which is not (hazard 43).
func (d damage) read(offset int64, what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return d.at(offset, "the file ends inside the %s", what)
	}
	return fmt.Errorf("read %s of %s at byte %d: %w", what, d.path, offset, err)
}

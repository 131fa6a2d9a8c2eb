package boltdb

import (
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery/catalog"
)

var (
	// ErrBusy: another restore of the same file is under way.
	ErrBusy = errors.New("boltdb: another restore is under way")
	// ErrVerify: what was loaded is not what was to be restored. The file that was
	// there stays.
	ErrVerify = errors.New("boltdb: the loaded state is not the one to restore")
)

// CorruptError says where a file contradicts itself. It wraps
// catalog.ErrDamaged. Nothing that was read from such a file after that place
// may be believed.
type CorruptError struct {
	Path   string
	Offset int64 // of the page, in bytes
	What   string
}

// Error names the file, the place, the damage and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("boltdb: %s is damaged in the page at byte %d: %s (restore it again)", e.Path, e.Offset, e.What)
}

// Unwrap returns catalog.ErrDamaged.
func (e *CorruptError) Unwrap() error { return catalog.ErrDamaged }

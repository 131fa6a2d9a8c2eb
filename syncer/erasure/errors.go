package erasure

import (
	"errors"
	"fmt"
)

var (
	// ErrCode: k or n are outside of what a code can have.
	ErrCode = errors.New("erasure: no such code")
	// ErrManifest: bytes that are no manifest, or none of this version.
	ErrManifest = errors.New("erasure: bad manifest")
	// ErrPieces: the pieces named for a rebuild do not make one.
	ErrPieces = errors.New("erasure: cannot rebuild from these pieces")
	// ErrWrongPiece: a piece has other bytes than its manifest says.
	ErrWrongPiece = errors.New("erasure: wrong piece")
)

// SourceError says which piece could not be read to its right end.
type SourceError struct {
	Index int
	Err   error
}

func (e *SourceError) Error() string { return fmt.Sprintf("read piece %d: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

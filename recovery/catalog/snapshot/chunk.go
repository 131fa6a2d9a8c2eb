package snapshot

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// ErrChunk: files that do not make up one whole snapshot.
var ErrChunk = errors.New("snapshot: not a whole set of chunks")

const (
	// MaxChunks is the most files that one snapshot may be cut into. A reader
	// holds all of them open.
	MaxChunks = 512
	// MinChunk is the least that Options.MaxChunk may be, in bytes: room for the
	// longest header and a block.
	MinChunk = 128 << 10
)

// Chunk is the place of a file in the set that makes up a snapshot.
type Chunk struct {
	Number uint32 // from 0
	Count  uint32 // 1: the file is all of it
}

// String counts from 1.
func (c Chunk) String() string { return fmt.Sprintf("chunk %d of %d", c.Number+1, c.Count) }

// fileSuffix ends the names of snapshots.
const fileSuffix = ".rsnap"

// ChunkName returns the name of a chunk of the snapshot called name: name itself
// where it is whole, "full.2of3.rsnap" for the second of three of "full.rsnap".
func ChunkName(name string, c Chunk) string {
	if c.Count == 1 {
		return name
	}
	stem, found := strings.CutSuffix(name, fileSuffix)
	if !found {
		return fmt.Sprintf("%s.%dof%d", name, c.Number+1, c.Count)
	}
	return fmt.Sprintf("%s.%dof%d%s", stem, c.Number+1, c.Count, fileSuffix)
}

// checkName refuses names that lead elsewhere, or that clean-up could take for a
// leftover.
func checkName(name string) error {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%w: a snapshot cannot be named %q", ErrRow, name)
	}
	return nil
}

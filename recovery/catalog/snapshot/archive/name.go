package archive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// ErrName: a file's name is not one that an archive gives.
var ErrName = errors.New("archive: not the name of a snapshot")

// suffix ends the name of every file of a snapshot.
const suffix = ".rsnap"

// Short is the beginning of a state's digest, as names carry it.
type Short [8]byte

// ShortOf returns the beginning of a digest.
func ShortOf(d recovery.Digest) Short { return Short(d[:]) }

// String returns 16 hex digits.
func (s Short) String() string { return hex.EncodeToString(s[:]) }

// Name says which snapshot it is. It is unique within a network as far as the
// beginning of a SHA-256 is.
type Name struct {
	Kind     snapshot.Kind
	Base     uint64 // position of an incremental's base; 0 for a full one
	Position uint64
	Digest   Short
}

// String is the name without the suffix of its files: full-<position>-<digest>
// or incr-<base>-<position>-<digest>.
func (n Name) String() string {
	if n.Kind == snapshot.Incremental {
		return fmt.Sprintf("incr-%d-%d-%v", n.Base, n.Position, n.Digest)
	}
	return fmt.Sprintf("full-%d-%v", n.Position, n.Digest)
}

// Validate reports, wrapping ErrName, what no file can be named after.
func (n Name) Validate() error {
	switch n.Kind {
	case snapshot.Full:
		if n.Base != 0 {
			return fmt.Errorf("%w: a full one with a base", ErrName)
		}
	case snapshot.Incremental:
		if n.Position <= n.Base {
			return fmt.Errorf("%w: an incremental from position %d to %d", ErrName, n.Base, n.Position)
		}
	default:
		return fmt.Errorf("%w: kind %v", ErrName, n.Kind)
	}
	return nil
}

// Slot is what only one snapshot of a network may fill: two digests for one slot
// contradict each other (hazard 56).
type Slot struct {
	Kind           snapshot.Kind
	Base, Position uint64
}

// Slot returns the name's slot.
func (n Name) Slot() Slot { return Slot{n.Kind, n.Base, n.Position} }

// File is one file of a snapshot: all of it, or one chunk.
type File struct {
	Name
	Chunk, Chunks int // from 1, and how many; 0 and 0: the file is whole
}

// String is the file's name.
func (f File) String() string {
	if f.Chunks == 0 {
		return f.Name.String() + suffix
	}
	return fmt.Sprintf("%v.%dof%d%s", f.Name, f.Chunk, f.Chunks, suffix)
}

// ParseFile reads a file's name. Only what File.String writes is accepted, so
// that a snapshot has one name: no leading zeros, no capitals, no set of one.
// Errors wrap ErrName.
func ParseFile(text string) (File, error) {
	f, err := parseFile(text)
	if err == nil {
		err = f.Validate()
	}
	if err == nil && f.String() != text {
		err = ErrName
	}
	if err != nil {
		return File{}, fmt.Errorf("%.100q: %w", text, err)
	}
	return f, nil
}

// ParseName reads what Name.String writes, and nothing else. Errors wrap
// ErrName.
func ParseName(text string) (Name, error) {
	f, err := ParseFile(text + suffix)
	if err == nil && f.Chunks > 0 {
		err = fmt.Errorf("%.100q: %w: it is one of a chunk", text, ErrName)
	}
	if err != nil {
		return Name{}, err
	}
	return f.Name, nil
}

// parseFile accepts more than it should; what it returned is written again and
// compared.
func parseFile(text string) (f File, err error) {
	stem, ok := strings.CutSuffix(text, suffix)
	if !ok {
		return f, fmt.Errorf("%w: it does not end in %s", ErrName, suffix)
	}
	stem, chunk, chunked := strings.Cut(stem, ".")
	if chunked {
		if f.Chunk, f.Chunks, err = parseChunk(chunk); err != nil {
			return f, err
		}
	}
	parts := strings.Split(stem, "-")
	digest := parts[len(parts)-1]
	switch {
	case parts[0] == "full" && len(parts) == 3:
		f.Kind = snapshot.Full
	case parts[0] == "incr" && len(parts) == 4:
		f.Kind = snapshot.Incremental
		if f.Base, err = parseNumber(parts[1]); err != nil {
			return f, err
		}
	default:
		return f, fmt.Errorf("%w: want full-<position>-<digest> or incr-<base>-<position>-<digest>", ErrName)
	}
	if f.Position, err = parseNumber(parts[len(parts)-2]); err != nil {
		return f, err
	}
	if n, err := hex.Decode(f.Digest[:], []byte(digest[:min(len(digest), 2*len(f.Digest))])); err != nil || n != len(f.Digest) {
		return f, fmt.Errorf("%w: %.20q is not 16 hex digits", ErrName, digest)
	}
	return f, nil
}

func parseChunk(text string) (chunk, chunks int, err error) {
	n, m, ok := strings.Cut(text, "of")
	a, err1 := strconv.ParseUint(n, 10, 31)
	b, err2 := strconv.ParseUint(m, 10, 31)
	if !ok || err1 != nil || err2 != nil || a < 1 || a > b || b < 2 || b > snapshot.MaxChunks {
		return 0, 0, fmt.Errorf("%w: %.20q is not <n>of<m> of 2 to %d chunks", ErrName, text, snapshot.MaxChunks)
	}
	return int(a), int(b), nil
}

func parseNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.30q is not a position", ErrName, text)
	}
	return n, nil
}

package erasure

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Version is the version of manifests that this code writes, and the only one it
// reads.
const Version = 1

// MaxSize bounds the size of a blob, in bytes (1 PiB).
const MaxSize = 1 << 50

const (
	magic      = "rstripe\n"
	headerSize = 62
)

// MaxManifest is the size of the largest manifest, in bytes.
const MaxManifest = headerSize + shards.MaxStriped*sha256.Size

// ManifestSize is the size of the manifest of a blob of n pieces, in bytes.
func ManifestSize(n int) int64 { return headerSize + int64(n)*sha256.Size }

// Code is the shape of a code: any K of N pieces rebuild a blob.
type Code struct{ K, N int }

// Validate reports, wrapping ErrCode, a code that cannot be: 1 <= K <= N <= 256.
func (c Code) Validate() error {
	if c.K < 1 || c.N < c.K || c.N > shards.MaxStriped {
		return fmt.Errorf("%w: any %d of %d pieces, want 1 <= k <= n <= %d", ErrCode, c.K, c.N, shards.MaxStriped)
	}
	return nil
}

func (c Code) String() string { return fmt.Sprintf("%d of %d", c.K, c.N) }

// PieceSize is how many bytes each piece of a blob has. K must be positive.
func (c Code) PieceSize(size int64) int64 {
	k := int64(c.K)
	return size/k + min(size%k, 1)
}

// Manifest says what the pieces of a blob look like.
type Manifest struct {
	Code
	Size   int64             // of the blob, bytes
	Digest [sha256.Size]byte // SHA-256 of the blob
	// Pieces holds the SHA-256 of each of the N pieces. It is never changed.
	Pieces [][sha256.Size]byte
}

// PieceSize is how many bytes each piece has.
func (m *Manifest) PieceSize() int64 { return m.Code.PieceSize(m.Size) }

// validate reports, wrapping ErrManifest, what cannot be.
func (m *Manifest) validate() error {
	if err := m.Code.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	switch {
	case m.Size < 0 || m.Size > MaxSize:
		return fmt.Errorf("%w: a blob of %d bytes, want 0 to %d", ErrManifest, m.Size, int64(MaxSize))
	case len(m.Pieces) != m.N:
		return fmt.Errorf("%w: %d digests for %d pieces", ErrManifest, len(m.Pieces), m.N)
	}
	return nil
}

// Encode returns the manifest's bytes. Errors wrap ErrManifest.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, headerSize+m.N*sha256.Size)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, Version)
	b = binary.BigEndian.AppendUint16(b, uint16(m.K))
	b = binary.BigEndian.AppendUint16(b, uint16(m.N))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(m.PieceSize()))
	b = append(b, m.Digest[:]...)
	for _, d := range m.Pieces {
		b = append(b, d[:]...)
	}
	return b, nil
}

// Decode reads what Encode wrote, and nothing else: the same manifest has the same
// bytes. It does not look at the id. Errors wrap ErrManifest.
func Decode(data []byte) (*Manifest, error) {
	switch {
	case len(data) < headerSize:
		return nil, fmt.Errorf("%w: %d bytes, its header has %d", ErrManifest, len(data), headerSize)
	case len(data) > MaxManifest:
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrManifest, len(data), MaxManifest)
	case !bytes.HasPrefix(data, []byte(magic)):
		return nil, fmt.Errorf("%w: it begins with %q, want %q", ErrManifest, data[:len(magic)], magic)
	}
	if v := binary.BigEndian.Uint16(data[8:]); v != Version {
		return nil, fmt.Errorf("%w: version %d, this recoverd reads only %d", ErrManifest, v, Version)
	}
	m := &Manifest{Code: Code{K: int(binary.BigEndian.Uint16(data[10:])), N: int(binary.BigEndian.Uint16(data[12:]))}}
	size, piece := binary.BigEndian.Uint64(data[14:]), binary.BigEndian.Uint64(data[22:])
	if err := m.Code.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if want := headerSize + m.N*sha256.Size; len(data) != want {
		return nil, fmt.Errorf("%w: %d bytes, one of %d pieces has %d", ErrManifest, len(data), m.N, want)
	}
	if size > MaxSize {
		return nil, fmt.Errorf("%w: a blob of %d bytes, at most %d are allowed", ErrManifest, size, int64(MaxSize))
	}
	m.Size = int64(size)
	if want := uint64(m.PieceSize()); piece != want {
		return nil, fmt.Errorf("%w: pieces of %d bytes, %v of a blob of %d bytes have %d", ErrManifest, piece, m.Code, size, want)
	}
	copy(m.Digest[:], data[30:])
	m.Pieces = make([][sha256.Size]byte, m.N)
	for i := range m.Pieces {
		copy(m.Pieces[i][:], data[headerSize+i*sha256.Size:])
	}
	return m, nil
}

// IDOf is the id of the blob that an encoded manifest describes.
func IDOf(encoded []byte) recovery.BlobID { return sha256.Sum256(encoded) }

// BlobOf is a blob as a catalog lists it, by its encoded manifest and its size.
func BlobOf(encoded []byte, size int64) recovery.Blob {
	id := IDOf(encoded)
	return recovery.Blob{ID: id, Size: size, Encoding: recovery.Striped, Digest: id}
}

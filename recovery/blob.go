package recovery

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// BlobID names a blob. Ids order as bytes. By default an id is the SHA-256 of
// the blob's bytes.
type BlobID [32]byte

// ErrBlobID reports text that is not a blob id.
var ErrBlobID = errors.New("recovery: not a blob id")

// ParseBlobID reads 64 lower- or upper-case hex digits, or 43 characters of
// URL-safe base64 without padding. Anything else is an error wrapping
// ErrBlobID; the text is quoted in it, cut to 80 bytes.
func ParseBlobID(text string) (BlobID, error) {
	var id BlobID
	switch len(text) {
	case 2 * len(id):
		if _, err := hex.Decode(id[:], []byte(text)); err == nil {
			return id, nil
		}
	case base64.RawURLEncoding.EncodedLen(len(id)):
		raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err == nil && len(raw) == len(id) {
			return BlobID(raw), nil
		}
	}
	return BlobID{}, fmt.Errorf("%w: %.80q (want 64 hex digits or 43 of URL-safe base64)", ErrBlobID, text)
}

// String returns the id as 64 lower-case hex digits.
func (id BlobID) String() string {
	var digits [2 * len(id)]byte
	hex.Encode(digits[:], id[:])
	return string(digits[:])
}

// Base64URL returns the id as URL-safe base64 without padding.
func (id BlobID) Base64URL() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Compare orders ids as bytes.
func (id BlobID) Compare(o BlobID) int { return bytes.Compare(id[:], o[:]) }

// MarshalText writes hex.
func (id BlobID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads either text form.
func (id *BlobID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseBlobID(string(text))
	return err
}

// before returns the id just below; ok is false for the lowest id.
func (id BlobID) before() (prev BlobID, ok bool) {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]--
		if id[i] != 0xff {
			return id, true
		}
	}
	return BlobID{}, false
}

// Encoding says how a blob's bytes are kept.
type Encoding uint8

const (
	// Raw: a shard holds the blob's bytes as they are.
	Raw Encoding = iota + 1
	// Striped: a shard holds one erasure-coded piece; the id is the SHA-256 of
	// the blob's manifest.
	Striped
	// Walrus: listed by a Walrus snapshot. Size and digest are unknown, so only
	// a host with a Verifier of its own can store such a blob.
	Walrus
)

func (e Encoding) String() string {
	switch e {
	case Raw:
		return "raw"
	case Striped:
		return "striped"
	case Walrus:
		return "walrus"
	}
	return fmt.Sprintf("encoding(%d)", uint8(e))
}

// SizeUnknown stands for the size of a blob whose catalog does not say it.
const SizeUnknown = -1

// EpochForever is the end epoch of a blob that has none.
const EpochForever = math.MaxUint32

// Blob is what never changes about a blob within a network.
type Blob struct {
	ID       BlobID
	Size     int64 // bytes, or SizeUnknown
	Encoding Encoding
	// Digest is the SHA-256 of the bytes. It equals ID where blobs are
	// content-addressed.
	Digest [32]byte
}

// Row is one certified blob as a catalog lists it. The epochs and Gained are
// the largest over its live registrations.
type Row struct {
	Blob
	CertifiedEpoch uint32
	EndEpoch       uint32 // exclusive
	// Gained is the position of the last event that made or lengthened a live
	// certification (DESIGN 1).
	Gained uint64
	// Stored says that every owned piece is in the store under its final name.
	// The store fills it in, not the catalog.
	Stored bool
}

// ContentAddressed reports whether the id is the digest of the bytes.
func (b Blob) ContentAddressed() bool { return b.Digest == b.ID }

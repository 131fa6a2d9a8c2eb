package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/recoverd/recoverd/shards"
)

// Names that a store keeps for itself. Pieces never begin with a dot.
const (
	MarkerName = ".recoverd"
	LockName   = ".recoverd.lock"
	TempDir    = ".tmp" // of drafts, in each shard and in the root
)

// MarkerVersion is the version this code writes, and the only one it reads.
const MarkerVersion = 1

// MaxMarker bounds a marker's bytes, checked before it is read.
const MaxMarker = 4096

// ErrMarker reports a marker that cannot be understood: damaged, too long, or
// of another version. It is never taken for a missing one.
var ErrMarker = errors.New("store: bad marker")

// MarkerID is the random name of a root or of a shard's directory.
type MarkerID [16]byte

// NewMarkerID returns a random id.
func NewMarkerID() (id MarkerID) {
	_, _ = rand.Read(id[:]) // documented never to fail
	return id
}

// String returns 32 hex digits.
func (id MarkerID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes 32 hex digits.
func (id MarkerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *MarkerID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("marker id %.40q is not %d hex digits", text, hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("marker id %q: %w", text, err)
	}
	return nil
}

// RootMarker says what a store is for.
type RootMarker struct {
	Version     int              `json:"version"`
	ID          MarkerID         `json:"id"`
	Network     string           `json:"network"`
	TotalShards uint32           `json:"total_shards"`
	Placement   shards.Placement `json:"placement"`
	Layout      Layout           `json:"layout"`
	// Foreign: there were pieces before there was a marker.
	Foreign bool `json:"foreign,omitempty"`
}

// ShardMarker says which shard a directory is, and of which root.
type ShardMarker struct {
	Version int      `json:"version"`
	ID      MarkerID `json:"id"`
	Root    MarkerID `json:"root"`
	Shard   uint32   `json:"shard"` // or Manifests
	// Foreign: the directory held pieces before the marker was made.
	Foreign bool `json:"foreign,omitempty"`
}

// Encode returns the marker's bytes: one line of JSON.
func (m RootMarker) Encode() ([]byte, error) { return encodeMarker(m) }

// Encode returns the marker's bytes: one line of JSON.
func (m ShardMarker) Encode() ([]byte, error) { return encodeMarker(m) }

func encodeMarker(m any) ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode marker: %w", err)
	}
	if len(data) >= MaxMarker {
		return nil, fmt.Errorf("%w: it would be %d bytes long, at most %d are allowed", ErrMarker, len(data)+1, MaxMarker)
	}
	return append(data, '\n'), nil
}

// DecodeRoot reads a root's marker. Errors wrap ErrMarker.
func DecodeRoot(data []byte) (m RootMarker, err error) {
	if err := decodeMarker(data, &m); err != nil {
		return RootMarker{}, err
	}
	switch {
	case m.Network == "":
		err = errors.New("it names no network")
	case m.TotalShards == 0 || m.TotalShards > shards.MaxTotal:
		err = fmt.Errorf("total_shards is %d", m.TotalShards)
	case m.Placement != shards.Hashed && m.Placement != shards.Striped:
		err = errors.New("it names no placement")
	case m.Layout != Flat && m.Layout != Fanout:
		err = errors.New("it names no layout")
	case m.ID == MarkerID{}:
		err = errors.New("it has no id")
	}
	if err != nil {
		return RootMarker{}, fmt.Errorf("%w: %w", ErrMarker, err)
	}
	return m, nil
}

// DecodeShard reads a shard's marker. Errors wrap ErrMarker.
func DecodeShard(data []byte) (m ShardMarker, err error) {
	if err := decodeMarker(data, &m); err != nil {
		return ShardMarker{}, err
	}
	switch {
	case m.ID == MarkerID{}:
		err = errors.New("it has no id")
	case m.Root == MarkerID{}:
		err = errors.New("it names no root")
	case m.Shard >= shards.MaxTotal && m.Shard != Manifests:
		err = fmt.Errorf("shard is %d", m.Shard)
	}
	if err != nil {
		return ShardMarker{}, fmt.Errorf("%w: %w", ErrMarker, err)
	}
	return m, nil
}

// decodeMarker checks the version before anything else is believed.
func decodeMarker(data []byte, into any) error {
	if len(data) > MaxMarker {
		return fmt.Errorf("%w: longer than %d bytes", ErrMarker, MaxMarker)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrMarker, err)
	}
	if head.Version != MarkerVersion {
		return fmt.Errorf("%w: version %d, this recoverd reads only %d", ErrMarker, head.Version, MarkerVersion)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrMarker, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows it", ErrMarker)
	}
	return nil
}

package boltdb

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// version is that of the layout.
const version = 1

// Names in the file; a table's bucket is named as the table.
const (
	metaBucket = "meta"
	stateKey   = "state"
)

const (
	tableCount = 4
	sumLength  = 4 // a CRC32C, big-endian, before every value
	// maxState bounds the state's description, in bytes: 256 ancestors take a
	// tenth of it.
	maxState = 1 << 18
)

// keyLength is the length of the keys of a table.
func keyLength(t snapshot.Table) int {
	if t == snapshot.Registrations || t == snapshot.PooledRegistrations {
		return 64
	}
	return 32
}

// sums makes the checksums of one table's rows.
type sums struct {
	crc   *crc32.Table
	table snapshot.Table
	buf   []byte
}

func newSums(t snapshot.Table) *sums {
	return &sums{crc: crc32.MakeTable(crc32.Castagnoli), table: t}
}

// of returns the checksum of a row that follows the one with the key before,
// which is empty for the table's first row.
func (s *sums) of(before, key, values []byte) uint32 {
	s.buf = append(s.buf[:0], byte(s.table))
	s.buf = append(append(append(s.buf, before...), key...), values...)
	return crc32.Checksum(s.buf, s.crc)
}

// state is the value that says which state a file holds.
type state struct {
	Version        uint32              `json:"version"`
	Stamp          recovery.Stamp      `json:"stamp"`
	Digest         recovery.Digest     `json:"digest"`
	Rows           map[string]uint64   `json:"rows"`      // by table
	LastKeys       map[string][]byte   `json:"last_keys"` // by table; empty: it has no rows
	Certified      uint64              `json:"certified"`
	CertifiedBytes uint64              `json:"certified_bytes"`
	Unsized        uint64              `json:"unsized"`
	Ancestors      []recovery.Ancestor `json:"ancestors"`
}

// describe says what a file with that summary holds.
func describe(h snapshot.Header, s snapshot.Summary, last [tableCount][]byte) state {
	d := state{
		Version: version, Stamp: s.Bound.Stamp, Digest: s.Bound.Digest, Ancestors: h.Ancestors,
		Rows: map[string]uint64{}, LastKeys: map[string][]byte{},
		Certified: s.Totals.Certified, CertifiedBytes: s.Totals.CertifiedBytes, Unsized: s.Totals.Unsized,
	}
	for i, n := range rowCounts(s.Totals.Rows) {
		d.Rows[snapshot.Table(i+1).String()] = n
		d.LastKeys[snapshot.Table(i+1).String()] = last[i]
	}
	return d
}

// rowCounts returns the counts in the order of the tables.
func rowCounts(c snapshot.Counts) [tableCount]uint64 {
	return [...]uint64{c.Blobs, c.Registrations, c.Pooled, c.Pools}
}

func (d state) header() snapshot.Header {
	return snapshot.Header{Stamp: d.Stamp, Ancestors: d.Ancestors}
}

func (d state) summary() snapshot.Summary {
	return snapshot.Summary{
		Bound: recovery.Bound{Stamp: d.Stamp, Digest: d.Digest},
		Totals: snapshot.Totals{
			Rows: snapshot.Counts{
				Blobs: d.Rows[snapshot.Blobs.String()], Registrations: d.Rows[snapshot.Registrations.String()],
				Pooled: d.Rows[snapshot.PooledRegistrations.String()], Pools: d.Rows[snapshot.Pools.String()],
			},
			Certified: d.Certified, CertifiedBytes: d.CertifiedBytes, Unsized: d.Unsized,
		},
	}
}

// encode returns the value.
func (d state) encode() ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("describe the state: %w", err)
	}
	return append(binary.BigEndian.AppendUint32(nil, stateSum(text)), text...), nil
}

func stateSum(text []byte) uint32 {
	return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
}

var errVersion = errors.New("another version of the layout")

// decodeState reads and checks the value. Errors wrap errVersion where the
// value is intact, and another program's.
func decodeState(value []byte) (d state, err error) {
	if len(value) < sumLength || len(value) > maxState {
		return d, fmt.Errorf("the state's description has %d bytes", len(value))
	}
	text := value[sumLength:]
	if binary.BigEndian.Uint32(value) != stateSum(text) {
		return d, errors.New("the checksum of the state's description is wrong")
	}
	if err := json.Unmarshal(text, &struct {
		Version *uint32 `json:"version"`
	}{&d.Version}); err != nil {
		return d, fmt.Errorf("the state's description: %w", err)
	}
	if d.Version != version {
		return d, fmt.Errorf("%w: %d, this program reads %d", errVersion, d.Version, version)
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return d, fmt.Errorf("the state's description: %w", err)
	}
	return d, d.check()
}

// check reports what cannot be.
func (d state) check() error {
	for t := snapshot.Blobs; t <= snapshot.Pools; t++ {
		n, last := d.Rows[t.String()], d.LastKeys[t.String()]
		if n == 0 != (len(last) == 0) || n > 0 && len(last) != keyLength(t) {
			return fmt.Errorf("table %v has %d rows, and a last key of %d bytes", t, n, len(last))
		}
	}
	if d.Rows[snapshot.Pools.String()] > snapshot.MaxPools {
		return fmt.Errorf("%d pools, at most %d are read", d.Rows[snapshot.Pools.String()], snapshot.MaxPools)
	}
	return d.header().Validate()
}

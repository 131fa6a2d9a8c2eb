// Package spill sorts more records than fit into memory, with the help of one
// temporary file. Records have a fixed length and order as bytes, so the result
// does not depend on how much memory there was.
package spill

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

// ErrSealed: a record came after the first cursor.
var ErrSealed = errors.New("spill: sorted already")

// MaxRecord is the most bytes that a record may have.
const MaxRecord = 1024

// Config says what to sort, and where.
type Config struct {
	// Record is the length of each record, in bytes; 1 to MaxRecord.
	Record int
	// Memory bounds the bytes that are held while records are added, and those
	// that cursors hold afterwards, each; default 64 MiB, and never less than
	// room for one record.
	Memory int
	// Dir is where the temporary file lies, if one is needed: on a volume with
	// room for all records.
	Dir string
}

func (c Config) withDefaults() Config {
	if c.Memory == 0 {
		c.Memory = 64 << 20
	}
	return c
}

// Validate reports the first value that makes no sense.
func (c Config) Validate() error {
	if c.Record < 1 || c.Record > MaxRecord || c.Memory < 0 {
		return fmt.Errorf("spill: records of %d bytes in a memory of %d", c.Record, c.Memory)
	}
	return nil
}

// Sorter takes records, and yields them in order as often as is asked. One
// goroutine uses it at a time. It must be closed.
type Sorter struct {
	cfg   Config
	limit int // records that are held

	chunks [][]byte // chunkRecords records each
	order  []slot   // of the records held
	sealed bool

	file  *os.File // nil until the memory was full once
	runs  []run    // sorted stretches in file
	size  int64    // of file
	total uint64
}

// slot stands for a record while it is sorted.
type slot struct {
	prefix uint64 // its first bytes, to compare without looking at it
	at     uint32 // its number in the chunks
}

// run is a sorted stretch of the file.
type run struct{ from, to int64 }

// chunkRecords is how many records are allocated at once.
const chunkRecords = 1024

// slotCost is what a record held costs besides its bytes; twice a slot, because
// the slots move when their list grows.
const slotCost = 2 * 16

// New returns an empty sorter.
func New(cfg Config) (*Sorter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Sorter{cfg: cfg, limit: max(1, cfg.Memory/(cfg.Record+slotCost))}, nil
}

// Len is the number of records.
func (s *Sorter) Len() uint64 { return s.total }

// Add takes a copy of a record.
func (s *Sorter) Add(record []byte) error {
	switch {
	case s.sealed:
		return ErrSealed
	case len(record) != s.cfg.Record:
		return fmt.Errorf("spill: a record of %d bytes among those of %d", len(record), s.cfg.Record)
	}
	if len(s.order) == s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	n := len(s.order)
	if n/chunkRecords == len(s.chunks) {
		s.chunks = append(s.chunks, make([]byte, min(chunkRecords, s.limit-n)*s.cfg.Record))
	}
	copy(s.at(uint32(n)), record)
	s.order = append(s.order, slot{prefixOf(record), uint32(n)})
	s.total++
	return nil
}

// at returns the n-th record held.
func (s *Sorter) at(n uint32) []byte {
	from := int(n%chunkRecords) * s.cfg.Record
	return s.chunks[n/chunkRecords][from : from+s.cfg.Record]
}

func prefixOf(record []byte) uint64 {
	if len(record) >= 8 {
		return binary.BigEndian.Uint64(record)
	}
	var padded [8]byte
	copy(padded[:], record)
	return binary.BigEndian.Uint64(padded[:])
}

// sort puts the records held into order.
func (s *Sorter) sort() {
	slices.SortFunc(s.order, func(a, b slot) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(s.at(a.at), s.at(b.at))
	})
}

// Cursor ends the adding and returns a new cursor before the first record. All
// cursors are of no more use once the sorter is closed.
func (s *Sorter) Cursor() (*Cursor, error) {
	if !s.sealed {
		if err := s.seal(); err != nil {
			return nil, err
		}
	}
	return newCursor(s)
}

// seal sorts what is held. If the memory was full once, it goes to the file too:
// the cursors need the room.
func (s *Sorter) seal() error {
	if s.file == nil {
		s.sort()
		s.sealed = true
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.chunks, s.order, s.sealed = nil, nil, true
	return nil
}

// Close drops the records and the file.
func (s *Sorter) Close() error {
	s.chunks, s.order, s.runs, s.sealed = nil, nil, nil, true
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

package listing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/spill"
)

// state is a base with a list's rows certified in it. Its tables are made anew
// each time they are read, by deciding about every row again, so that memory
// does not grow with the list.
type state struct {
	path    string // of the list
	head    snapshot.Header
	base    *snapshot.Reader // nil: none
	rows    *spill.Sorter
	unsized bool
}

// settle looks at every row once: it finds out how the state ends, which its
// header says first, and counts.
func (s *state) settle(ctx context.Context, cfg Config, result *Result) error {
	if err := s.settings(cfg, result); err != nil {
		return err
	}
	rules := newRules(s.path, s.head.Epoch, s.base)
	facts, moved, highest := sha256.New(), s.base != nil && s.head.Epoch > s.base.Header().Epoch, uint64(0)
	var record []byte
	rows := newSorted(s.path, s.rows, s.unsized)
	err := rows.each(ctx, func(row *Row) error {
		record = row.appendRecord(record[:0])
		facts.Write(record[:recordFacts])
		highest = max(highest, row.Position)
		c, err := rules.decide(row)
		if err != nil {
			return err
		}
		result.count(c.verdict)
		moved = moved || c.reg != nil
		return nil
	})
	if err != nil {
		return err
	}
	result.Repeated = rows.repeats
	switch {
	case moved && rules.position == math.MaxUint64:
		return fmt.Errorf("%w: nothing can follow the base's position, %d", ErrImport, rules.position)
	case moved && highest <= rules.position:
		highest = rules.position + 1
	case s.base == nil && !moved:
		return fmt.Errorf("%w: %s certifies nothing at epoch %d: everything in it has ended", ErrImport, s.path, s.head.Epoch)
	}
	s.head.Position = max(highest, rules.position)
	if s.head.Network == "" {
		s.head.Network = fmt.Sprintf("import-%x", facts.Sum(nil)[:8])
	}
	if s.base != nil {
		s.head.Ancestors = s.base.Header().Ancestors
		if s.head.Position > rules.position {
			s.head.Ancestors = snapshot.Descend(s.base.Bound(), s.head.Ancestors)
		}
	}
	return nil
}

// settings fills in network and epoch: those that were given, the base's, or what
// follows from the list.
func (s *state) settings(cfg Config, result *Result) error {
	s.head.Stamp = recovery.Stamp{Network: cfg.Network, Epoch: max(defaultEpoch, result.newest)}
	if s.base != nil {
		base := s.base.Header()
		switch {
		case base.Base != nil:
			return fmt.Errorf("%w: the base %s is an incremental snapshot", ErrImport, s.base.Path())
		case cfg.Network != "" && cfg.Network != base.Network:
			return fmt.Errorf("%w: the base is of network %q, not %q", ErrImport, base.Network, cfg.Network)
		case cfg.Epoch != 0 && cfg.Epoch < base.Epoch:
			return fmt.Errorf("%w: epoch %d is before the base's, %d", ErrImport, cfg.Epoch, base.Epoch)
		}
		s.head.Network, s.head.Epoch = base.Network, max(base.Epoch, result.newest)
	}
	if cfg.Epoch == 0 {
		return nil
	}
	if cfg.Epoch < result.newest {
		return &LineError{Path: s.path, Line: result.newestLine, What: fmt.Sprintf(
			"it is certified in epoch %d, after the catalog's, %d", result.newest, cfg.Epoch)}
	}
	s.head.Epoch = cfg.Epoch
	return nil
}

// Header implements snapshot.State.
func (s *state) Header() snapshot.Header { return s.head }

// Pools implements snapshot.State.
func (s *state) Pools() []snapshot.Pool {
	if s.base == nil {
		return nil
	}
	return s.base.Pools()
}

// Pooled implements snapshot.State.
func (s *state) Pooled() snapshot.Cursor[snapshot.Pooled] {
	if s.base == nil {
		return &laid[snapshot.Pooled, *snapshot.Pooled]{}
	}
	return s.base.Pooled()
}

// Blobs implements snapshot.State.
func (s *state) Blobs() snapshot.Cursor[snapshot.Blob] {
	c := &laid[snapshot.Blob, *snapshot.Blob]{put: s.changes(), of: func(c change) *snapshot.Blob { return c.blob }}
	if s.base != nil {
		c.old = s.base.Blobs()
	}
	return c
}

// Registrations implements snapshot.State.
func (s *state) Registrations() snapshot.Cursor[snapshot.Registration] {
	c := &laid[snapshot.Registration, *snapshot.Registration]{put: s.changes(), of: func(c change) *snapshot.Registration { return c.reg }}
	if s.base != nil {
		c.old = s.base.Registrations()
	}
	return c
}

func (s *state) changes() *changes {
	return &changes{rows: newSorted(s.path, s.rows, s.unsized), rules: newRules(s.path, s.head.Epoch, s.base)}
}

// changes decides about one row after the other.
type changes struct {
	rows  *sorted
	rules *rules
}

func (c *changes) next() (ch change, more bool, err error) {
	row, err := c.rows.Next()
	if row == nil || err != nil {
		return change{}, false, err
	}
	ch, err = c.rules.decide(row)
	return ch, err == nil, err
}

// laid lays the rows that are put over those of a base, in one rising order.
// Where both have a key, the one that is put stands.
type laid[R any, P snapshot.Row[R]] struct {
	old snapshot.Cursor[R] // nil: there is none
	put *changes           // nil: nothing is
	of  func(change) *R    // the row of this table that a change puts, or nil

	before, after *R // read ahead
}

// Next implements snapshot.Cursor.
func (l *laid[R, P]) Next() (row *R, err error) {
	if l.old != nil && l.before == nil {
		if l.before, err = l.old.Next(); err != nil {
			return nil, err
		}
		if l.before == nil {
			l.old = nil
		}
	}
	for more := true; more && l.put != nil && l.after == nil; {
		var c change
		if c, more, err = l.put.next(); err != nil {
			return nil, err
		}
		if l.after = l.of(c); !more {
			l.put = nil
		}
	}
	order := 1
	switch {
	case l.after == nil:
		order = -1
	case l.before != nil:
		order = bytes.Compare(P(l.before).RowKey(), P(l.after).RowKey())
	}
	if order < 0 {
		row, l.before = l.before, nil
		return row, nil
	}
	row, l.after = l.after, nil
	if order == 0 {
		l.before = nil
	}
	return row, nil
}

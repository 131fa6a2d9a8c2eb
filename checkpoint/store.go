package checkpoint

import (
	"errors"
	"fmt"
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// Store is the durable checkpoint of one state directory, which it holds locked
// until Close. Its methods may be called from many goroutines; they run one at
// a time, and block for the disk: a Writer keeps that off the caller's
// goroutine.
type Store struct {
	mu     sync.Mutex
	copies copies
	ledger ledger
	report LoadReport
	err    error // sticks: ErrFailed or ErrClosed
}

// Open locks the state directory, reads every copy, sets a damaged database
// aside, and brings all copies up to the record that Load returns. Errors wrap
// ErrConfig, ErrLocked, ErrCreate or ErrVersion, or are the operating system's;
// nothing is used in place of a copy that could not be read for such a reason.
func Open(cfg Config) (*Store, error) {
	return open(cfg, osFS())
}

func open(cfg Config, fs fsys) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f, err := lockFiles(cfg.withDefaults(), fs)
	if err != nil {
		return nil, err
	}
	s, err := openCopies(f)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint in %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// openCopies does what Open promises with copies that nobody else uses, which are
// the store's from then on.
func openCopies(c copies) (*Store, error) {
	s := &Store{copies: c}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return s, nil
}

func (s *Store) start() error {
	found, err := s.copies.survey()
	if err != nil {
		return err
	}
	take, ok := found.best()
	s.report = found.report(take, ok)
	record := take.resumable()
	if s.ledger.last, err = newImage(record, take.order()); err != nil {
		return fmt.Errorf("take over from %s: %w", take.source, err)
	}
	s.ledger.set = true
	if s.report.SetAside, err = s.copies.provide(found.database, s.ledger.last); err != nil {
		return err
	}
	if s.report.SetAside != "" && s.report.Source == SourceDatabase {
		s.report.Path = s.report.SetAside
	}
	if !ok || found.agrees(take) && take.listState == ListWhole {
		return nil
	}
	// The copies differ, after a crash, a damage or an unfinished Reset. The order
	// of a Reset is right for all of them.
	s.ledger.last.order.seq, s.ledger.last.h.seq = found.highest(), found.highest()
	p, err := s.ledger.plan(record, true)
	if err != nil {
		return err
	}
	return s.write(p)
}

// Load returns what a restart would resume from: at first what Open found, then
// what was written last. The report says what Open found; its Run, LastRun and
// Seq follow what is written. Times come back in UTC, the list sorted by
// id, texts for people cut to their limits. The record shares nothing with the
// store.
func (s *Store) Load() (recovery.Record, LoadReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return recovery.Record{}, LoadReport{}, s.err
	}
	r, err := s.ledger.load()
	return r, s.report, err
}

// Durable returns what was written last, or found by Open if nothing was. It
// reads nothing, waits for a write under way, and answers also after a failure or
// Close.
func (s *Store) Durable() Durable {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.durable(s.report)
}

// Save makes a record durable that claims at least as much as the one before:
// first in the database, then in the mirror. The record is only read. A record
// that is plainly less (another run, or progress dropped) is written as by
// Reset. Errors wrap ErrRecord or ErrStale, and change nothing; or ErrFailed or
// ErrClosed, and stick.
func (s *Store) Save(r recovery.Record) error { return s.save(r, false) }

// Reset makes a record durable that claims less than the one before: a new run,
// a discard, a blob put back. It goes to both slots of the mirror, then to the
// database in two transactions, so that no copy that is read later can bring
// back what was claimed before (hazard 86). Errors are as for Save.
func (s *Store) Reset(r recovery.Record) error { return s.save(r, true) }

func (s *Store) save(r recovery.Record, less bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	p, err := s.ledger.plan(r, less)
	if err != nil {
		return err
	}
	return s.write(p)
}

// write performs a plan. The first error ends the store: nothing is tried again
// (I12, hazard 45).
func (s *Store) write(p plan) error {
	steps := []func() error{
		func() error { return s.copies.put(p.first) },
		func() error { return s.copies.mirror(p.first) },
	}
	if p.less {
		steps = []func() error{
			func() error { return s.copies.mirror(p.first) },
			func() error { return s.copies.mirror(p.second) },
			func() error { return s.copies.put(p.second) },
			func() error { return s.copies.put(p.second) },
		}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			s.err = fmt.Errorf("%w: %w", ErrFailed, err)
			return s.err
		}
	}
	s.ledger.done(p)
	s.report.follow(p.second.h)
	return nil
}

// Close releases the directory. It writes nothing. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, ErrClosed) {
		return nil
	}
	s.err = ErrClosed
	return s.copies.close()
}

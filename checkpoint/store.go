package checkpoint

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/recoverd/recoverd/recovery"
)

// Store is the durable checkpoint of one state directory, which it holds locked
// until Close. Its methods may be called from many goroutines; they run one at
// a time, and block for the disk: a Writer keeps that off the caller's
// goroutine.
type Store struct {
	mu     sync.Mutex
	fs     fsys
	lock   *dirLock
	db     *database
	mirror *mirror
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
	cfg = cfg.withDefaults()
	if err := fs.makeDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCreate, err)
	}
	lock, err := lockDir(cfg.Dir, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	s := &Store{fs: fs, lock: lock}
	if err := s.start(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open checkpoint in %s: %w", cfg.Dir, err), s.close())
	}
	return s, nil
}

// start does what Open promises, under the lock.
func (s *Store) start(cfg Config) error {
	if err := removeIfThere(s.fs, filepath.Join(cfg.Dir, buildName)); err != nil {
		return err
	}
	found, err := surveyDir(s.fs, cfg.Dir)
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
	if s.mirror, err = openMirror(s.fs, cfg.Dir); err != nil {
		return err
	}
	if err := s.provideDatabase(cfg, found.database); err != nil {
		return err
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

// provideDatabase opens the database; one that is unfit is set aside first, and
// one that is missing is made with the record taken.
func (s *Store) provideDatabase(cfg Config, state databaseState) (err error) {
	if state == databaseUnfit {
		if s.report.SetAside, err = setAside(s.fs, cfg.Dir, cfg.Now()); err != nil {
			return fmt.Errorf("set %s aside: %w", databaseName, err)
		}
		if s.report.Source == SourceDatabase {
			s.report.Path = s.report.SetAside
		}
	}
	if state != databaseFit {
		if err := createDatabase(s.fs, cfg.Dir, s.ledger.last); err != nil {
			return fmt.Errorf("%w: %w", ErrCreate, err)
		}
	}
	s.db, err = openDatabase(s.fs, filepath.Join(cfg.Dir, databaseName), cfg.LockTimeout)
	return err
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
		func() error { return s.db.put(p.first) },
		func() error { return s.mirror.write(p.first) },
	}
	if p.less {
		steps = []func() error{
			func() error { return s.mirror.write(p.first) },
			func() error { return s.mirror.write(p.second) },
			func() error { return s.db.put(p.second) },
			func() error { return s.db.put(p.second) },
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
	return s.close()
}

// close closes what is open; the lock goes last.
func (s *Store) close() error {
	var errs []error
	errs = append(errs, s.db.close())
	if s.mirror != nil {
		errs = append(errs, s.mirror.close())
	}
	errs = append(errs, s.lock.release())
	return errors.Join(errs...)
}

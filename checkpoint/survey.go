package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// survey is everything that can be read in a state directory.
type survey struct {
	copies []stored
	damage []Damage
	// database says what openDatabase would meet.
	database databaseState
	slots    int // slots that are not empty, readable or not
}

type databaseState int

const (
	databaseMissing databaseState = iota
	databaseFit
	databaseUnfit // there, but not to be opened
)

// surveyDir reads every copy. It changes nothing. Damage is noted; an error is
// the operating system's, or wraps ErrVersion, and nothing may be used then.
func surveyDir(fs fsys, dir string) (survey, error) {
	s, err := readSlots(fs, dir)
	if err != nil {
		return survey{}, err
	}
	if err := s.addDatabase(fs, dir); err != nil {
		return survey{}, err
	}
	s.noteFirstWrite()
	s.noteLostWrites()
	return s, nil
}

// surveyMirror reads only the two slots.
func surveyMirror(fsys fsys, dir string) (survey, error) {
	s, err := readSlots(fsys, dir)
	s.noteFirstWrite()
	return s, err
}

func readSlots(fsys fsys, dir string) (survey, error) {
	var s survey
	for _, name := range slotSources() {
		if err := s.readSlot(fsys, dir, name); err != nil {
			return survey{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return s, nil
}

// noteFirstWrite says what a lone slot that cannot be read is (hazard 41). The database
// is made before, and is whole and at most at the first write then: beside another one
// the slot is damaged.
func (s *survey) noteFirstWrite() {
	mirrored := slices.ContainsFunc(s.copies, func(c stored) bool { return c.source != SourceDatabase })
	if s.slots == 1 && !mirrored && s.highest() <= 1 && s.database != databaseUnfit {
		s.damage[0].Why = "its first write did not finish; there is nothing in it yet"
	}
}

// noteLostWrites holds the slots against the order of writes: each takes every second
// one. A crash leaves a slot at most slotLag behind the newest copy; one that is
// further behind was emptied, removed, or lost a write that was acknowledged. Nobody
// may be writing meanwhile.
func (s *survey) noteLostWrites() {
	for i, name := range slotSources() {
		switch {
		case s.noted(name):
			continue
		case len(s.copies) == 0 && s.database == databaseUnfit:
			s.note(name, "it is empty or missing, and no other copy can be read either")
			continue
		}
		last, why := int64(i)-1, "it is empty or missing" // as if the write before its first were in it
		if c := s.copyFrom(name); c != nil {
			last, why = int64(c.seq), fmt.Sprintf("it holds write %d", c.seq)
		}
		if highest := int64(s.highest()); highest-last > slotLag {
			s.note(name, fmt.Sprintf("%s, although write %d was made: what was written to it since is lost", why, highest))
		}
	}
}

// slotLag is reached by a crash before a slot was written (2 behind the database), and
// another while Open writes the next number to the other one.
const slotLag = 3

func (s *survey) noted(source Source) bool {
	return slices.ContainsFunc(s.damage, func(d Damage) bool { return d.File == string(source) })
}

// copyFrom returns the copy that was read from a source, or nil.
func (s *survey) copyFrom(source Source) *stored {
	if i := slices.IndexFunc(s.copies, func(c stored) bool { return c.source == source }); i >= 0 {
		return &s.copies[i]
	}
	return nil
}

func (s *survey) readSlot(fsys fsys, dir string, name Source) (err error) {
	path := filepath.Join(dir, string(name))
	f, size, err := fsys.openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return s.addSlot(f, size, name, path)
}

func (s *survey) addSlot(r io.ReaderAt, size int64, name Source, path string) error {
	if size > 0 {
		s.slots++
	}
	c, ok, err := readSlot(r)
	if ok && slotSources()[slotOf(c.seq)] != name {
		ok, err = false, damaged("it holds write %d, which belongs into the other slot", c.seq)
	}
	return s.add(c, ok, err, name, path)
}

func (s *survey) addDatabase(fsys fsys, dir string) (err error) {
	path := filepath.Join(dir, databaseName)
	f, size, err := fsys.openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		s.missDatabase()
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", databaseName, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	headValue, list, err := scanPages(f, size)
	if err != nil && !isDamage(err) {
		return fmt.Errorf("read %s: %w", databaseName, err)
	}
	return s.addValues(headValue, list, err, path)
}

// missDatabase notes that there is none although there was one.
func (s *survey) missDatabase() {
	if s.slots > 0 {
		s.note(SourceDatabase, "it is missing")
	}
}

// addValues takes what the database holds; err is the damage that hides it.
func (s *survey) addValues(headValue, list []byte, err error, path string) error {
	s.database = databaseFit
	var c stored
	if err == nil {
		c, err = decodeStored(headValue, list)
	}
	if isDamage(err) || c.lost != nil {
		s.database = databaseUnfit
	}
	return s.add(c, err == nil, err, SourceDatabase, path)
}

// add takes a copy that was read, or notes why it was not.
func (s *survey) add(c stored, ok bool, err error, source Source, path string) error {
	switch {
	case isDamage(err):
		s.note(source, err.Error())
		return nil
	case err != nil:
		return err
	case !ok:
		return nil
	}
	if c.lost != nil {
		s.note(source, c.lost.Error())
	}
	c.source, c.path = source, path
	s.copies = append(s.copies, c)
	return nil
}

func (s *survey) note(source Source, why string) {
	s.damage = append(s.damage, Damage{File: string(source), Why: why})
}

// best chooses the copy to go on from: within the highest run that any head
// names, the newest whole copy; only without one, the newest of them. An older
// whole copy is safe within its run, because what claims less is written to
// every slot of the mirror before anything else (hazard 86). The pause is the
// newest head's, for it lies outside of the progress (hazard 40). ok is false
// if there is no copy.
func (s *survey) best() (take stored, ok bool) {
	if len(s.copies) == 0 {
		return stored{}, false
	}
	newest := s.newest()
	take = newest
	for _, c := range s.copies {
		if c.lastRun == newest.lastRun && c.better(take) {
			take = c
		}
	}
	take.paused = newest.paused
	return take, true
}

// newest returns the newest copy, whole or not. There must be one.
func (s *survey) newest() stored { return slices.MaxFunc(s.copies, compareAge) }

// better orders copies of one run: whole ones first, then by sequence; of equal
// ones the database's.
func (s stored) better(o stored) bool {
	if whole := s.listState == ListWhole; whole != (o.listState == ListWhole) {
		return whole
	}
	if s.seq != o.seq {
		return s.seq > o.seq
	}
	return s.source == SourceDatabase
}

func compareAge(a, b stored) int {
	switch {
	case a.order().less(b.order()):
		return -1
	case b.order().less(a.order()):
		return 1
	}
	return 0
}

// highest returns the highest sequence number of any readable copy.
func (s *survey) highest() (seq uint64) {
	for _, c := range s.copies {
		seq = max(seq, c.seq)
	}
	return seq
}

// agrees reports whether the database and the mirror both hold the copy, so
// that nothing has to be brought up to it.
func (s *survey) agrees(take stored) bool {
	var inDatabase, inMirror bool
	for _, c := range s.copies {
		same := c.order() == take.order()
		inDatabase = inDatabase || same && c.source == SourceDatabase
		inMirror = inMirror || same && c.source != SourceDatabase
	}
	untouched := take.seq == 0 && s.slots == 0 // a new database, nothing saved yet
	return inDatabase && (inMirror || untouched)
}

// report describes the copy taken, and every other that stood before it.
func (s *survey) report(take stored, ok bool) LoadReport {
	r := LoadReport{Source: SourceNone, List: ListWhole}
	if ok && take.seq == 0 && len(s.damage) > 1 {
		ok = false // a database made in place of a damaged one: nothing was saved in it yet
	}
	if ok {
		r = reportOf(take)
	}
	r.Damage = s.damage
	for _, d := range s.damage {
		if Source(d.File) != r.Source && (d.File == string(SourceDatabase) || r.Source != SourceDatabase) {
			r.Fallbacks++
		}
	}
	for _, c := range s.copies {
		if ok && c.lost == nil && take.order().less(c.order()) {
			r.Fallbacks++ // newer, but without its list
		}
	}
	return r
}

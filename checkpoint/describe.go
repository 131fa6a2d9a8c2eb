package checkpoint

import (
	"errors"
	"fmt"
	"os"

	"github.com/recoverd/recoverd/recovery"
)

// Description is what `recoverd checkpoint show` prints.
type Description struct {
	Dir string `json:"dir"`
	// InUse: another process holds the directory, so only the mirror was read.
	InUse bool `json:"in_use"`
	LoadReport
	Record recovery.Record `json:"record"`
}

// Describe reads a state directory without changing it: all copies if it is not
// in use, otherwise the mirror alone. The record is the copy that a restart would
// take, as it stands: where List is not whole, its list is nil although Entries
// are unsettled, and nothing else was dropped for it. The
// shared lock is held meanwhile, for some milliseconds. A directory that is
// missing is an error that wraps fs.ErrNotExist.
func Describe(dir string) (_ Description, err error) {
	if _, err := os.Stat(dir); err != nil {
		return Description{}, fmt.Errorf("describe checkpoint: %w", err)
	}
	lock, free, err := peekLock(dir)
	if err != nil {
		return Description{}, fmt.Errorf("describe checkpoint: %w", err)
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	d := Description{Dir: dir, InUse: !free}
	if free {
		var found survey
		if found, err = surveyDir(osFS(), dir); err == nil {
			take, ok := found.best()
			d.Record, d.LoadReport = take.record(), found.report(take, ok)
		}
	} else {
		d.Record, d.LoadReport, err = ReadMirror(dir)
	}
	if err != nil {
		return Description{}, fmt.Errorf("describe checkpoint: %w", err)
	}
	return d, nil
}

// ReadMirror reads the mirror without a lock, also while a daemon writes it. It
// is at most one save behind. The record is the newest copy as it stands: where
// List is not whole, its list is nil although Entries are unsettled. A directory
// that is missing is an error that wraps fs.ErrNotExist; a mirror that is missing
// or empty is SourceNone.
func ReadMirror(dir string) (recovery.Record, LoadReport, error) {
	if _, err := os.Stat(dir); err != nil {
		return recovery.Record{}, LoadReport{}, fmt.Errorf("read mirror: %w", err)
	}
	// Only one slot is written at a time, but between the reading of one and the
	// other the writer may move on. It does so at most once a second.
	const tries = 3
	var found survey
	for range tries {
		var err error
		if found, err = surveyMirror(osFS(), dir); err != nil {
			return recovery.Record{}, LoadReport{}, fmt.Errorf("read mirror: %w", err)
		}
		if len(found.copies) > 0 || found.slots == 0 {
			break
		}
	}
	if len(found.copies) == 0 {
		return recovery.Record{}, found.report(stored{}, false), nil
	}
	newest := found.newest()
	return newest.record(), found.report(newest, true), nil
}

// Discard drops the progress that a state directory holds, and keeps the pause
// and the last run's number, so that the next run is numbered above it. The
// directory must not be in use: errors are those of Open and Reset. It returns
// what was discarded.
func Discard(cfg Config) (_ recovery.Record, _ LoadReport, err error) {
	s, err := Open(cfg)
	if err != nil {
		return recovery.Record{}, LoadReport{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r, report, err := s.Load()
	if err != nil {
		return recovery.Record{}, LoadReport{}, err
	}
	return r, report, s.Reset(recovery.Record{Paused: r.Paused})
}

package checkpoint

import (
	"errors"
	"fmt"
	"path/filepath"
)

// copies is where the records of a Store lie: files in a state directory, or a
// Medium. Its order of calls is survey, provide, then put and mirror.
type copies interface {
	// survey reads every copy, and changes none.
	survey() (survey, error)
	// provide makes ready for writing. A database that is unfit is set aside, and
	// its new path returned; one that is unfit or missing is made with img in it.
	provide(state databaseState, img image) (setAside string, err error)
	// put writes an image to the database in one transaction, durably.
	put(img image) error
	// mirror writes an image to its slot of the mirror, durably.
	mirror(img image) error
	close() error
}

// files are the copies in a state directory, which is locked until close.
type files struct {
	cfg   Config
	fs    fsys
	lock  *dirLock
	db    *database
	slots *mirror
}

// lockFiles makes the state directory if need be, and locks it.
func lockFiles(cfg Config, fs fsys) (*files, error) {
	if err := fs.makeDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCreate, err)
	}
	lock, err := lockDir(cfg.Dir, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	return &files{cfg: cfg, fs: fs, lock: lock}, nil
}

func (f *files) survey() (survey, error) {
	if err := removeIfThere(f.fs, filepath.Join(f.cfg.Dir, buildName)); err != nil {
		return survey{}, err
	}
	return surveyDir(f.fs, f.cfg.Dir)
}

func (f *files) provide(state databaseState, img image) (aside string, err error) {
	if f.slots, err = openMirror(f.fs, f.cfg.Dir); err != nil {
		return "", err
	}
	if state == databaseUnfit {
		if aside, err = setAside(f.fs, f.cfg.Dir, f.cfg.Now()); err != nil {
			return "", fmt.Errorf("set %s aside: %w", databaseName, err)
		}
	}
	if state != databaseFit {
		if err := createDatabase(f.fs, f.cfg.Dir, img); err != nil {
			return aside, fmt.Errorf("%w: %w", ErrCreate, err)
		}
	}
	f.db, err = openDatabase(f.fs, filepath.Join(f.cfg.Dir, databaseName), f.cfg.LockTimeout)
	return aside, err
}

func (f *files) put(img image) error    { return f.db.put(img) }
func (f *files) mirror(img image) error { return f.slots.write(img) }

// close closes what is open; the lock goes last.
func (f *files) close() error {
	var errs []error
	errs = append(errs, f.db.close())
	if f.slots != nil {
		errs = append(errs, f.slots.close())
	}
	errs = append(errs, f.lock.release())
	return errors.Join(errs...)
}

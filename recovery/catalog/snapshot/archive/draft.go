package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Drafts are directories with dot-names, locked by whoever writes into them.
const (
	draftSuffix = ".rsnap-tmp"        // shared with the files of package snapshot
	createDraft = ".create.rsnap-tmp" // one attempt at a time has one name
	partSuffix  = ".rsnap-part"       // of a fetch, which goes on after a restart
)

// IsDraft reports whether a name is that of something under way.
func IsDraft(name string) bool {
	return strings.HasPrefix(name, ".") && (strings.HasSuffix(name, draftSuffix) || strings.HasSuffix(name, partSuffix))
}

// draft is a directory that this process has locked. Its files get their final
// names all at once, or never.
type draft struct {
	dir  string
	held *os.File
	disk disk
}

// takeDraft makes a draft directory or takes over one that nobody holds. Errors
// wrap ErrBusy where another process, or another part of this one, does.
func (a *Archive) takeDraft(name string) (*draft, error) {
	dir := a.path(name)
	for range draftTries {
		if err := a.disk.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make draft: %w", err)
		}
		held, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its owner has just ended
		}
		if err != nil {
			return nil, fmt.Errorf("open draft: %w", err)
		}
		err = unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock draft %s: %w", dir, err), held.Close())
		}
		if sameInode(held, dir) {
			return &draft{dir: dir, held: held, disk: a.disk}, nil
		}
		_ = held.Close() // only locked; it was removed before that
	}
	return nil, fmt.Errorf("lock draft %s, which others make and remove: %w", dir, ErrBusy)
}

// draftTries bounds how often a draft is made that others remove at once.
const draftTries = 100

// empty removes what an earlier owner left.
func (d *draft) empty() error {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("empty draft: %w", err)
	}
	for _, f := range files {
		if err := d.disk.Remove(filepath.Join(d.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("empty draft: %w", err)
		}
	}
	return nil
}

// drop removes the draft and all in it.
func (d *draft) drop() error {
	err := d.empty()
	if err == nil {
		err = d.disk.Remove(d.dir)
	}
	return errors.Join(err, d.held.Close())
}

// keep lets go of the draft and leaves it there.
func (d *draft) keep() error { return d.held.Close() }

// isPart reports whether a name is that of a fetch's draft.
func isPart(name string) bool { return IsDraft(name) && strings.HasSuffix(name, partSuffix) }

// dropParts removes drafts of fetches that no longer lead beyond what is there.
func (a *Archive) dropParts(verdicts []Verdict) error {
	newest := uint64(0)
	for _, v := range verdicts {
		if v.Keep && v.Status == Complete {
			newest = max(newest, v.Position)
		}
	}
	files, err := os.ReadDir(a.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list drafts: %w", err)
	}
	for _, f := range files {
		if !isPart(f.Name()) {
			continue
		}
		stem := strings.TrimSuffix(strings.TrimPrefix(f.Name(), "."), partSuffix)
		if file, err := ParseFile(stem + suffix); err == nil && file.Position > newest {
			continue
		}
		if _, err := a.clear(f.Name()); err != nil {
			return fmt.Errorf("remove draft: %w", err)
		}
	}
	return nil
}

package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Drafts are directories with dot-names, locked by whoever writes into them.
const (
	draftSuffix = ".rsnap-tmp"        // shared with the files of package snapshot
	createDraft = ".create.rsnap-tmp" // one attempt at a time has one name
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

// empty removes what an earlier owner left, but for some names.
func (d *draft) empty(except ...string) error {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("empty draft: %w", err)
	}
	for _, f := range files {
		if slices.Contains(except, f.Name()) {
			continue
		}
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

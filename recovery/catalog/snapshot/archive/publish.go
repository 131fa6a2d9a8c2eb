package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// publish gives a draft's files their final names, durably. They are durable
// themselves, all of one snapshot, in chunk order, and called what they will be
// called.
//
// A set of chunks counts by its first one: that is the last to get its name,
// after the other names are durable, and the first to lose it. So chunks without
// the first are a leftover, and a first one without the others was whole once.
func (a *Archive) publish(ctx context.Context, d *draft, paths []string) (Entry, error) {
	e, err := a.describe(paths)
	if err != nil {
		return Entry{}, fmt.Errorf("read draft: %w", err)
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer unlock()
	there, err := a.makeWay(ctx, e)
	if err != nil {
		return Entry{}, err
	}
	if there != nil { // perhaps from a process that was killed before it flushed
		if err := a.sync(a.cfg.Dir); err != nil {
			return Entry{}, err
		}
		return *there, nil
	}
	for i := len(paths) - 1; i > 0; i-- {
		if err := a.show(paths[i]); err != nil {
			return Entry{}, errors.Join(err, a.hide(paths[i+1:]))
		}
	}
	if len(paths) > 1 {
		if err := a.sync(a.cfg.Dir); err != nil {
			return Entry{}, errors.Join(err, a.hide(paths[1:]))
		}
	}
	if err := a.show(paths[0]); err != nil {
		return Entry{}, errors.Join(err, a.hide(paths[1:]))
	}
	if err := a.sync(a.cfg.Dir); err != nil {
		// A second flush of these names might succeed and mean nothing (hazard 45): the
		// next attempt makes new ones.
		return Entry{}, errors.Join(err, a.hide(paths))
	}
	return e, nil
}

// describe reads the entry that a draft's files will be.
func (a *Archive) describe(paths []string) (Entry, error) {
	file, err := ParseFile(filepath.Base(paths[0]))
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: file.Name, Chunks: file.Chunks, Status: Complete}
	r, err := snapshot.OpenSet(paths...)
	if err != nil {
		return Entry{}, err
	}
	e.Size = r.Size()
	return e, errors.Join(a.learn(&e, r), r.Close())
}

// makeWay returns the same snapshot if it is there whole, and removes it if it
// is there damaged. The directory is locked.
func (a *Archive) makeWay(ctx context.Context, e Entry) (there *Entry, err error) {
	l, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	if rivals := Rivals(append(l.Entries, e), e); len(rivals) > 0 {
		return nil, &RivalError{New: e.Name, There: rivals[0].Name}
	}
	for _, old := range l.Entries {
		switch {
		case old.Name != e.Name:
		case old.Status == Complete:
			return &old, nil
		case old.Chunks == e.Chunks:
			if err := a.remove(old); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// show moves a draft's file to its final place.
func (a *Archive) show(path string) error {
	if err := a.disk.Rename(path, a.path(filepath.Base(path))); err != nil {
		return fmt.Errorf("publish snapshot: %w", err)
	}
	return nil
}

// hide takes names back, the first one first.
func (a *Archive) hide(paths []string) (err error) {
	for _, p := range paths {
		if rm := a.disk.Remove(a.path(filepath.Base(p))); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("take back: %w", rm))
		}
	}
	return err
}

// remove deletes an entry's files, the first one first and, where it has others,
// durably before them.
func (a *Archive) remove(e Entry) error {
	for i, path := range a.paths(e) {
		if err := a.disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove snapshot: %w", err)
		}
		if i == 0 && e.Chunks > 0 {
			if err := a.sync(a.cfg.Dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Archive) sync(path string) error {
	if err := a.disk.Sync(path); err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	return nil
}

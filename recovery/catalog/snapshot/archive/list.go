package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Listing is what lies in an archive's directory.
type Listing struct {
	// Entries are the snapshots, by rising position.
	Entries []Entry
	// Leftovers are the names of what is being written, or was by a process that
	// was killed: drafts, parts of a fetch, chunks of a set that was never whole.
	// None of it is a snapshot (hazard 49).
	Leftovers []string
	// Others are files that end as a snapshot does and have no name of one.
	Others []string
}

// Find returns the entry of that name, in the fewest files, or nil.
func (l Listing) Find(name Name) *Entry {
	for i := range l.Entries {
		if l.Entries[i].Name == name {
			return &l.Entries[i]
		}
	}
	return nil
}

// List looks at every snapshot, by its ends. It needs no lock: where something
// is removed or published meanwhile it looks again. What one file says is never
// an error.
func (a *Archive) List(ctx context.Context) (Listing, error) { return settled(ctx, a.list) }

// settled reads until nothing is left that may only be a moment's view.
func settled(ctx context.Context, read func(context.Context) (Listing, error)) (Listing, error) {
	var before []File
	for try := 1; ; try++ {
		l, err := read(ctx)
		switch {
		case try == listTries || ctx.Err() != nil:
			return l, err
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return l, err
		case err == nil && slices.Equal(before, l.incomplete()):
			return l, nil
		case err == nil:
			// A directory is not read at one moment: the first chunk of a set that is being
			// published or removed may have been seen without the others. Since it comes
			// last and goes first, what lacks chunks twice really does.
			before = l.incomplete()
		}
	}
}

// incomplete names the sets that lack chunks.
func (l Listing) incomplete() (all []File) {
	for _, e := range l.Entries {
		if e.Status == Incomplete {
			all = append(all, e.key())
		}
	}
	return all
}

// listTries bounds how often a directory that changes is read.
const listTries = 20

func (a *Archive) list(ctx context.Context) (l Listing, err error) {
	files, err := os.ReadDir(a.cfg.Dir)
	if err != nil {
		return l, fmt.Errorf("list archive: %w", err)
	}
	sets := map[File]*found{} // by what an Entry has for a key
	for _, f := range files {
		name := f.Name()
		switch file, err := ParseFile(name); {
		case IsDraft(name):
			l.Leftovers = append(l.Leftovers, name)
		case err != nil || !f.Type().IsRegular():
			if strings.HasSuffix(name, suffix) {
				l.Others = append(l.Others, name)
			}
		default:
			if err := collect(sets, file, f); err != nil {
				return l, err
			}
		}
	}
	for key, set := range sets {
		if ctx.Err() != nil {
			return l, context.Cause(ctx)
		}
		if key.Chunks > 0 && !set.chunks[1] {
			l.Leftovers = append(l.Leftovers, set.names(key)...)
			continue
		}
		e, err := a.look(key, set)
		if err != nil {
			return l, err
		}
		l.Entries = append(l.Entries, e)
	}
	slices.SortFunc(l.Entries, compareEntries)
	slices.Sort(l.Leftovers)
	return l, nil
}

// found are the files of one snapshot.
type found struct {
	size   int64
	chunks map[int]bool
}

func collect(sets map[File]*found, file File, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return fmt.Errorf("list archive: %w", err)
	}
	key := File{Name: file.Name, Chunks: file.Chunks}
	if sets[key] == nil {
		sets[key] = &found{chunks: map[int]bool{}}
	}
	sets[key].size += info.Size()
	sets[key].chunks[file.Chunk] = true
	return nil
}

func (f *found) names(key File) (names []string) {
	for n := range f.chunks {
		names = append(names, File{Name: key.Name, Chunk: n, Chunks: key.Chunks}.String())
	}
	return names
}

// look finds out what a snapshot is. It fails only where a file is gone.
func (a *Archive) look(key File, set *found) (Entry, error) {
	e := Entry{Name: key.Name, Chunks: key.Chunks, Size: set.size}
	for n := 1; n <= key.Chunks; n++ {
		if !set.chunks[n] {
			e.Status = Incomplete
			e.Err = fmt.Errorf("archive: chunk %d of %d is missing, %d are there", n, key.Chunks, len(set.chunks))
			return e, nil
		}
	}
	r, err := snapshot.OpenSet(a.paths(e)...)
	if err == nil {
		err = errors.Join(a.learn(&e, r), r.Close())
	}
	switch {
	case err == nil:
		e.Status = Complete
	case errors.Is(err, fs.ErrNotExist):
		return e, err
	default:
		e.Status, e.Err = Unreadable, err
		if IsDamage(err) {
			e.Status = Damaged
		}
	}
	return e, nil
}

// IsDamage reports whether an error of opening or proving a snapshot tells of
// damage. Others say nothing about the file.
func IsDamage(err error) bool {
	var corrupt *snapshot.CorruptError
	var misnamed *MisnamedError
	return errors.As(err, &corrupt) || errors.As(err, &misnamed) ||
		errors.Is(err, snapshot.ErrNotSnapshot) || errors.Is(err, snapshot.ErrChunk)
}

// learn takes from an open snapshot what an entry of its name should know, and
// checks the name against it.
func (a *Archive) learn(e *Entry, r *snapshot.Reader) error {
	is := nameOf(r.Header(), r.Bound().Digest)
	wrong := ""
	switch {
	case is.Kind != e.Kind:
		wrong = "kind"
	case is.Position != e.Position:
		wrong = "position"
	case is.Base != e.Base:
		wrong = "base"
	case is.Digest != e.Digest:
		wrong = "digest"
	case a.cfg.Network != "" && r.Header().Network != a.cfg.Network:
		return fmt.Errorf("archive: %s is of network %q, this archive of %q", r.Path(), r.Header().Network, a.cfg.Network)
	}
	if wrong != "" {
		return &MisnamedError{File: filepath.Base(a.paths(*e)[0]), Holds: r.Bound(), What: wrong}
	}
	e.Bound = r.Bound()
	if base := r.Header().Base; base != nil {
		e.BaseDigest = base.Digest
	}
	return nil
}

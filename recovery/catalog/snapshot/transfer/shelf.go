package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// shelf knows what an archive has to offer. Files never change under their
// names, so that the sums of one are computed once, and known by its inode, size
// and time of change.
type shelf struct {
	archive *archive.Archive
	piece   int64
	// turn is held by whoever looks through the directory or reads a file for its
	// sums: one at a time, however many ask (it protects what follows).
	turn  chan struct{}
	sums  map[identity]ListedFile
	state []identity // of the directory, when shown was made
	shown *shown
}

// identity tells one version of a file from another.
type identity struct {
	name     string
	dev, ino uint64
	size     int64
	changed  unix.Timespec
	modified unix.Timespec
}

// shown is what is offered until the directory changes.
type shown struct {
	document Document
	files    map[string]served // by file name
	partial  bool              // something could not be read, and is worth another look
}

// served is one file that is offered.
type served struct {
	identity
	sum Sum // of its bytes
}

func newShelf(a *archive.Archive, piece int64) *shelf {
	return &shelf{archive: a, piece: piece, turn: make(chan struct{}, 1), sums: map[identity]ListedFile{}}
}

// look returns what is offered now. What it returns is not changed any more.
func (s *shelf) look(ctx context.Context) (*shown, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	state, err := s.directory()
	if err != nil {
		return nil, err
	}
	if s.shown != nil && !s.shown.partial && slices.Equal(state, s.state) {
		return s.shown, nil
	}
	next, err := s.build(ctx)
	if err != nil {
		return nil, err
	}
	s.state, s.shown = state, next
	s.forget(state)
	return next, nil
}

// find returns what the bytes of a file are. Errors wrap archive.ErrGone where
// the file is not offered: it is damaged, or one of a set that is not whole.
func (s *shelf) find(ctx context.Context, name string, f *archive.HeldFile) (served, error) {
	shown, err := s.look(ctx)
	if err != nil {
		return served{}, err
	}
	id, err := identify(name, f)
	if err != nil {
		return served{}, err
	}
	known, ok := shown.files[name]
	if !ok || known.identity != id {
		return served{}, fmt.Errorf("serve %s: %w", name, archive.ErrGone)
	}
	return known, nil
}

// directory identifies every file of a snapshot.
func (s *shelf) directory() (all []identity, err error) {
	files, err := os.ReadDir(s.archive.Dir())
	if err != nil {
		return nil, fmt.Errorf("look at archive: %w", err)
	}
	for _, f := range files {
		if _, err := archive.ParseFile(f.Name()); err != nil {
			continue
		}
		var st unix.Stat_t
		switch err := unix.Lstat(filepath.Join(s.archive.Dir(), f.Name()), &st); {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return nil, fmt.Errorf("look at %s: %w", f.Name(), err)
		default:
			all = append(all, identityOf(f.Name(), &st))
		}
	}
	return all, nil
}

func identityOf(name string, st *unix.Stat_t) identity {
	return identity{name, st.Dev, st.Ino, st.Size, st.Ctim, st.Mtim}
}

// identify identifies an open file.
func identify(name string, f *archive.HeldFile) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, fmt.Errorf("look at %s: %w", name, err)
	}
	return identityOf(name, &st), nil
}

// build lists the newest snapshots that are complete. One that is removed, or
// cannot be read, while it is looked at is left out.
func (s *shelf) build(ctx context.Context) (*shown, error) {
	l, err := s.archive.List(ctx)
	if err != nil {
		return nil, err
	}
	next := &shown{document: Document{Version: DocumentVersion, Piece: s.piece, Snapshots: []Listed{}}, files: map[string]served{}}
	d := &next.document
	listed := map[archive.Name]bool{}
	for _, e := range slices.Backward(l.Entries) {
		if e.Status != archive.Complete || listed[e.Name] || len(d.Snapshots) == MaxSnapshots {
			continue
		}
		if d.Network == "" {
			d.Network = e.Bound.Network
		}
		if e.Bound.Network != d.Network {
			return nil, &archive.NetworksError{Networks: []string{d.Network, e.Bound.Network}}
		}
		files, err := s.files(ctx, e)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			next.partial = true
			continue
		}
		listed[e.Name] = true
		d.Snapshots = append(d.Snapshots, describe(e, files))
		for i, f := range e.Files() {
			next.files[f.String()] = served{files[i].identity, files[i].ListedFile.sum()}
		}
	}
	return next, nil
}

func describe(e archive.Entry, files []summed) Listed {
	l := Listed{
		Name: e.Name.String(), Kind: e.Kind.String(), Base: e.Base, Position: e.Position, Epoch: e.Bound.Epoch,
		Digest: e.Bound.Digest, Size: e.Size,
	}
	for _, f := range files {
		l.Files = append(l.Files, f.ListedFile)
	}
	if e.Kind == snapshot.Incremental {
		l.BaseDigest = &e.BaseDigest
	}
	return l
}

// summed is a file whose sums are known.
type summed struct {
	identity
	ListedFile
}

// files returns the sums of an entry's files.
func (s *shelf) files(ctx context.Context, e archive.Entry) (all []summed, err error) {
	for _, f := range e.Files() {
		held, err := s.archive.OpenFile(ctx, f)
		if err != nil {
			return nil, err
		}
		sums, err := s.sum(ctx, f.String(), held)
		if err := errors.Join(err, held.Close()); err != nil {
			return nil, err
		}
		all = append(all, sums)
	}
	return all, nil
}

// sum reads a file, unless that was done before.
func (s *shelf) sum(ctx context.Context, name string, f *archive.HeldFile) (summed, error) {
	id, err := identify(name, f)
	if err != nil {
		return summed{}, err
	}
	if known, ok := s.sums[id]; ok {
		return summed{id, known}, nil
	}
	sums := ListedFile{Size: id.size}
	for at := int64(0); at < id.size; at += s.piece {
		if ctx.Err() != nil {
			return summed{}, context.Cause(ctx)
		}
		n := min(s.piece, id.size-at)
		h := sha256.New()
		if read, err := io.Copy(h, io.NewSectionReader(f, at, n)); err != nil || read != n {
			return summed{}, fmt.Errorf("read %s at byte %d: %w", f.Name(), at, errors.Join(err, io.ErrUnexpectedEOF))
		}
		sums.Pieces = append(sums.Pieces, Sum(h.Sum(nil)))
	}
	s.sums[id] = sums
	return summed{id, sums}, nil
}

// forget drops the sums of files that are gone.
func (s *shelf) forget(state []identity) {
	there := map[identity]bool{}
	for _, id := range state {
		there[id] = true
	}
	for id := range s.sums {
		if !there[id] {
			delete(s.sums, id)
		}
	}
}

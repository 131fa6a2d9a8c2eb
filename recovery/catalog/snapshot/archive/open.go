package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/regular"
)

// Held is an open snapshot that nobody prunes before it is closed (hazard 67).
type Held struct {
	*snapshot.Reader
	Entry Entry
	lock  *os.File
}

// Close closes the snapshot and lets go of it.
func (h *Held) Close() error { return errors.Join(h.Reader.Close(), h.lock.Close()) }

// OpenEntry opens a snapshot and keeps it from being pruned. Errors wrap ErrGone
// where it is no longer there, or are those of snapshot.Open, a *MisnamedError
// among them.
func (a *Archive) OpenEntry(ctx context.Context, e Entry) (*Held, error) {
	lock, err := a.hold(ctx, e)
	if err != nil {
		return nil, err
	}
	r, err := snapshot.OpenSet(a.paths(e)...)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	h := &Held{Reader: r, Entry: Entry{Name: e.Name, Chunks: e.Chunks, Size: r.Size(), Status: Complete}, lock: lock}
	if err := a.learn(&h.Entry, r); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// HeldState is the state that a route begins with. Its files stay as long as it
// is open.
type HeldState struct {
	snapshot.State
	Full        *Held
	Incremental *Held // nil: the state is the full one's
}

// Close closes the files.
func (h *HeldState) Close() error {
	if h.Incremental == nil {
		return h.Full.Close()
	}
	return errors.Join(h.Incremental.Close(), h.Full.Close())
}

// OpenState opens what a plan begins with; its route must have a full snapshot.
// Errors are those of OpenEntry and of snapshot.Over.
func (a *Archive) OpenState(ctx context.Context, r Route) (*HeldState, error) {
	full, err := a.OpenEntry(ctx, *r.Full)
	if err != nil {
		return nil, err
	}
	h := &HeldState{State: full.Reader, Full: full}
	if r.Incremental == nil {
		return h, nil
	}
	if h.Incremental, err = a.OpenEntry(ctx, *r.Incremental); err != nil {
		return nil, errors.Join(err, full.Close())
	}
	if h.State, err = snapshot.Over(full.Reader, h.Incremental.Reader); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// HeldFile is one file of a snapshot, to be read as bytes. The snapshot is not
// pruned before it is closed.
type HeldFile struct {
	*os.File
	lock *os.File // the snapshot's first file
}

// Close closes the file and lets go of the snapshot.
func (h *HeldFile) Close() error { return errors.Join(h.File.Close(), h.lock.Close()) }

// OpenFile opens one file of a snapshot. Errors wrap ErrGone where it is not
// there.
func (a *Archive) OpenFile(ctx context.Context, f File) (*HeldFile, error) {
	lock, err := a.hold(ctx, Entry{Name: f.Name, Chunks: f.Chunks})
	if err != nil {
		return nil, err
	}
	file, err := openFile(a.path(f.String()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %v: %w", f, err), lock.Close())
	}
	return &HeldFile{File: file, lock: lock}, nil
}

// openFile opens a file of a snapshot. What is no regular file is none, and no link is
// followed: neither is listed.
func openFile(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, ErrGone
	}
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrNot) { // since then
		return nil, ErrGone
	}
	return f, err
}

// hold keeps a snapshot from being pruned while what it returns is open.
func (a *Archive) hold(ctx context.Context, e Entry) (*os.File, error) {
	first := a.paths(e)[0]
	lock, err := openFile(first)
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", e.Name, err)
	}
	err = await(ctx, lock, unix.LOCK_SH) // only what prunes is in the way, for a moment
	if err == nil && !sameInode(lock, first) {
		err = ErrGone
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hold %v: %w", e.Name, err), lock.Close())
	}
	return lock, nil
}

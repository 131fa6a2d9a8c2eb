package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
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
	paths := a.paths(e)
	lock, err := os.Open(paths[0])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %v: %w", e.Name, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", e.Name, err)
	}
	err = await(ctx, lock, unix.LOCK_SH) // only what prunes holds it, for a moment
	if err == nil && !sameInode(lock, paths[0]) {
		err = ErrGone
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hold %v: %w", e.Name, err), lock.Close())
	}
	r, err := openFiles(paths)
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

package crashstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// What is created, in order, by position; chunked has several files.
const (
	first      = 10
	increment  = 20
	chunked    = 3_000
	last       = 30_000
	lastBlobs  = 40
	chunkBytes = snapshot.MinChunk
)

// stateAt is a made-up catalog with the blobs of a position.
func stateAt(root string, blobs uint64) (*snapshot.Reader, error) {
	path := fmt.Sprintf("%s-source-%d", root, blobs)
	if _, err := snapshot.Synth(context.Background(), snapshot.SynthConfig{Blobs: blobs}, path); err != nil {
		return nil, err
	}
	return snapshot.Open(path)
}

// moved is a state under another position.
type moved struct {
	snapshot.State
	position uint64
}

// Header implements snapshot.State.
func (m moved) Header() snapshot.Header {
	h := m.State.Header()
	h.Position = m.position
	return h
}

// createAll creates four snapshots and prunes all but the last; or it creates the first
// and is killed while it writes the second.
func createAll(root string, n *notes, die bool) error {
	a, err := archive.Open(archive.Config{Dir: root, MinFree: -1})
	if err != nil {
		return err
	}
	create := func(position uint64, make func(s snapshot.State) (archive.Entry, error)) (archive.Entry, error) {
		blobs := position
		if position == last {
			blobs = lastBlobs
		}
		s, err := stateAt(root, blobs)
		if err != nil {
			return archive.Entry{}, err
		}
		e, err := make(moved{s, position})
		return e, errors.Join(err, s.Close(), n.put("created %d", position))
	}
	full := func(o archive.CreateOptions) func(s snapshot.State) (archive.Entry, error) {
		return func(s snapshot.State) (archive.Entry, error) { return a.CreateFull(context.Background(), s, o) }
	}
	base, err := create(first, full(archive.CreateOptions{}))
	if err != nil {
		return err
	}
	o := archive.CreateOptions{MaxChunk: chunkBytes}
	if die {
		o.Progress = func(uint64) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
		_, err := create(chunked, full(o))
		return errors.Join(err, errors.New("still alive"))
	}
	_, err = create(increment, func(s snapshot.State) (archive.Entry, error) {
		held, err := a.OpenEntry(context.Background(), base)
		if err != nil {
			return archive.Entry{}, err
		}
		e, err := a.CreateIncremental(context.Background(), held.Reader, s, archive.CreateOptions{})
		return e, errors.Join(err, held.Close())
	})
	if err != nil {
		return err
	}
	if e, err := create(chunked, full(o)); err != nil || e.Chunks < 2 {
		return fmt.Errorf("%d chunks: %w", e.Chunks, err)
	}
	if _, err := create(last, full(archive.CreateOptions{})); err != nil {
		return err
	}
	if err := n.put("pruning"); err != nil {
		return err
	}
	_, err = a.Prune(context.Background(), archive.Policy{Fulls: 1})
	return errors.Join(err, n.put("pruned"))
}

// TestArchive: after a power cut at any moment every snapshot that is listed proves
// itself, and what was created is listed until something newer was and it was pruned.
//
// Hazards 46, 47, 49, 53 and 67.
func TestArchive(t *testing.T) {
	explore(t, "snapshots", recorded(t, "archive"), Options{}, 250, archiveHolds)
}

// TestArchiveAfterAKill: the second process finds the draft of a killed one.
func TestArchiveAfterAKill(t *testing.T) {
	explore(t, "snapshots after a kill", recorded(t, "archive-killed", "archive"), Options{}, 300, archiveHolds)
}

func archiveHolds(dir string, notes []string) error {
	ctx := context.Background()
	a, err := archive.Open(archive.Config{Dir: dir, MinFree: -1})
	if err != nil {
		return err
	}
	l, err := a.List(ctx)
	if err != nil {
		return err
	}
	there := map[uint64]bool{}
	for _, e := range l.Entries {
		if e.Status != archive.Complete {
			return fmt.Errorf("%v is listed as %s: %w", e.Name, e.Status, e.Err)
		}
		h, err := a.OpenEntry(ctx, e)
		if err == nil {
			err = errors.Join(h.Verify(ctx), h.Close())
		}
		if err != nil {
			return fmt.Errorf("%v is listed and does not prove itself: %w", e.Name, err)
		}
		there[e.Position] = true
	}
	var newest uint64
	pruning := slices.Contains(notes, "pruning")
	for _, text := range notes {
		var position uint64
		if _, err := fmt.Sscanf(text, "created %d", &position); err != nil {
			continue
		}
		newest = max(newest, position)
		if !there[position] && (!pruning || position == last) {
			return fmt.Errorf("%d was created and is not listed", position)
		}
	}
	if newest > 0 {
		p, err := archive.MakePlan(l.Entries, archive.Range{}, archive.Latest)
		if err != nil || p.Position < newest {
			return fmt.Errorf("position %d can be reached, %d was created: %w", p.Position, newest, err)
		}
	}
	if _, err := a.Clean(ctx); err != nil {
		return err
	}
	if l, err = a.List(ctx); err == nil && len(l.Leftovers) > 0 {
		left, _ := filepath.Glob(filepath.Join(dir, ".*"))
		err = fmt.Errorf("leftovers stay: %v, %v", l.Leftovers, left)
	}
	return err
}

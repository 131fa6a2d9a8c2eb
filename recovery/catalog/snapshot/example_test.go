package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// A full snapshot, what changed since as an incremental one, and the state that
// the two make.
func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// incremental at position 2: +0, -1 blobs
	// certified at position 2: 1
}

func example(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "snapshot")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	first, second := recovery.BlobID{1}, recovery.BlobID{2}
	base, err := write(filepath.Join(dir, "base.rsnap"), 1, first, second)
	if err != nil {
		return err
	}
	later, err := write(filepath.Join(dir, "later.rsnap"), 2, second)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "incremental.rsnap")
	if _, err := snapshot.WriteIncremental(ctx, path, base, later, snapshot.Options{}); err != nil {
		return err
	}
	incremental, err := snapshot.Open(path)
	if err != nil {
		return err
	}
	added, removed := 0, 0
	for blobs := incremental.BlobDeltas(); ; {
		row, dropped, err := blobs.Next()
		if err != nil {
			return err
		}
		if row == nil {
			break
		}
		if dropped {
			removed++
		} else {
			added++
		}
	}
	fmt.Printf("incremental at position %d: +%d, -%d blobs\n", incremental.Header().Position, added, removed)
	state, err := snapshot.Over(base, incremental)
	if err != nil {
		return err
	}
	n, _, err := state.Scan().Fill(ctx, make([]recovery.Row, 10))
	fmt.Printf("certified at position %d: %d\n", state.Header().Position, n)
	return err
}

// write publishes a state in which some blobs are certified, and opens it.
func write(path string, position uint64, blobs ...recovery.BlobID) (*snapshot.Reader, error) {
	w, err := snapshot.Create(path, snapshot.Header{Stamp: recovery.Stamp{Network: "example", Epoch: 1, Position: position}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Abort() }() // does nothing after Close
	for _, id := range blobs {
		if err := w.Blob(&snapshot.Blob{Blob: recovery.Blob{ID: id, Size: 1, Encoding: recovery.Raw, Digest: id}}); err != nil {
			return nil, err
		}
	}
	for _, id := range blobs {
		err := w.Registration(&snapshot.Registration{Key: snapshot.KeyOf(id, id), Certified: true, EndEpoch: recovery.EpochForever})
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return snapshot.Open(path)
}

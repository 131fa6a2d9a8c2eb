package catalogtest

import (
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// WriteSnapshot publishes a state as a snapshot file at path: one registration
// for each row, by the blob itself.
func WriteSnapshot(t testing.TB, path string, s State) recovery.Bound {
	t.Helper()
	w, err := snapshot.Create(path, snapshot.Header{Stamp: s.Stamp})
	if err == nil {
		err = writeRows(w, s)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Errorf("write %s: %v", path, err) // perhaps not the test's goroutine: no Fatal
		return recovery.Bound{}
	}
	return w.Bound()
}

func writeRows(w *snapshot.Writer, s State) error {
	for _, row := range s.Rows {
		if err := w.Blob(&snapshot.Blob{Blob: row.Blob}); err != nil {
			return err
		}
	}
	for _, row := range s.Rows {
		err := w.Registration(&snapshot.Registration{
			Key: snapshot.KeyOf(row.ID, row.ID), RegisteredEpoch: row.CertifiedEpoch, Certified: true,
			CertifiedEpoch: row.CertifiedEpoch, EndEpoch: row.EndEpoch, Gained: row.Gained,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

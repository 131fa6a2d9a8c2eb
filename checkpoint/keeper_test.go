package checkpoint_test

import (
	"errors"
	"testing"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
)

// Whoever hears that a record is durable finds it said, under the number that the
// backend really gave it.
func TestKeeperSaysWhatIsDurable(t *testing.T) {
	memory := &checkpoint.Nop{}
	k := checkpoint.NewKeeper(memory)
	if d := k.Durable(); d.Seq != 0 || d.Source != checkpoint.SourceMemory {
		t.Errorf("at first %+v is durable", d)
	}
	heard := make(chan checkpoint.Durable, 1)
	tell := func(err error) {
		if err != nil {
			t.Error(err)
		}
		heard <- k.Durable()
	}
	r := recordtest.Full()
	k.Reset(r, tell)
	first := <-heard
	if p := r.Progress; first.Run != p.Run || first.Cursor != p.Cursor || !first.SavedAt.Equal(p.SavedAt) || first.Seq != memory.Durable().Seq {
		t.Errorf("after the first write %+v is durable", first)
	}
	k.Save(r, tell)
	if second := <-heard; second.Seq != first.Seq+1 {
		t.Errorf("the sequence went from %d to %d", first.Seq, second.Seq)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	next := memory.Reopen()
	k = checkpoint.NewKeeper(next)
	defer k.Close()
	if d := k.Durable(); d.Run != r.Progress.Run || d.Seq != first.Seq+1 {
		t.Errorf("after a restart %+v is durable", d)
	}
	loaded, err := k.Load()
	if err != nil || loaded.LastRun != r.Progress.Run || loaded.Note != "" {
		t.Errorf("Load: run %d, note %q, %v", loaded.LastRun, loaded.Note, err)
	}
	if diff := recordtest.Diff(r, loaded.Record); diff != "" {
		t.Errorf("Load differs (-want +got):\n%s", diff)
	}
}

// A write that was refused is not durable, and neither is what comes after it.
func TestKeeperAfterAFailure(t *testing.T) {
	k := checkpoint.NewKeeper(&checkpoint.Nop{})
	bad := recordtest.Full()
	bad.Progress.Cursor = recovery.MarkEnd()
	errs := make(chan error, 2)
	k.Reset(bad, func(err error) { errs <- err })
	k.Reset(recordtest.Full(), func(err error) { errs <- err })
	for range 2 {
		if err := <-errs; !errors.Is(err, checkpoint.ErrRecord) {
			t.Errorf("answered %v", err)
		}
	}
	if d := k.Durable(); d.Seq != 0 || d.Run != 0 {
		t.Errorf("durable is %+v", d)
	}
	if err := k.Close(); !errors.Is(err, checkpoint.ErrRecord) {
		t.Errorf("Close: %v", err)
	}
	if _, err := k.Load(); !errors.Is(err, checkpoint.ErrClosed) {
		t.Errorf("Load after Close: %v", err)
	}
}

package eventlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// TestLog: what a directory's log holds is read as a source that does not grow,
// while nobody follows with it.
func TestLog(t *testing.T) {
	seed := uint64(61)
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	events := historyEvents(seed, 90)
	c := openIn(t, cfg)
	apply(t, c, events[:30])
	_, err := c.Snapshot(t.Context(), snapshot.Full)
	must(t, err)
	apply(t, c, events[30:])
	if _, err := OpenLog(cfg.Dir, time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is followed: %v", err)
	}
	must(t, c.Close())
	l, err := OpenLog(cfg.Dir, time.Millisecond)
	must(t, err)
	if !l.Exists() || l.Range() != (archive.Range{First: 31, Last: 90}) {
		t.Errorf("%v, %+v", l.Exists(), l.Range())
	}
	for _, after := range []uint64{30, 50, 89, 90, 200} {
		got, tip, err := l.Read(t.Context(), after, 7)
		want := events[min(after, 90):min(after+7, 90)]
		if err != nil || tip != 90 || !slices.Equal(got, want) {
			t.Errorf("after %d: %d events, tip %d, %v", after, len(got), tip, err)
		}
	}
	var missing *event.MissingError
	if _, _, err := l.Read(t.Context(), 29, 7); !errors.As(err, &missing) || missing.First != 30 {
		t.Errorf("from before it begins: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = l.Read(ctx, 30, 7)
	if changed := l.Changed(ctx); !errors.Is(err, context.Canceled) || !errors.Is(changed, context.Canceled) {
		t.Errorf("cancelled: %v, %v", err, changed)
	}
	must(t, l.Close())
	must(t, os.Truncate(filepath.Join(cfg.Dir, logName), 10_000))
	if _, err := OpenLog(cfg.Dir, time.Millisecond); !isDamage(err) {
		t.Errorf("damaged: %v", err)
	}
	must(t, os.Remove(filepath.Join(cfg.Dir, logName)))
	l, err = OpenLog(cfg.Dir, time.Millisecond)
	must(t, err)
	if got, _, err := l.Read(t.Context(), 0, 7); l.Exists() || !l.Range().Empty() || len(got) > 0 || err != nil {
		t.Errorf("without a log: %d events, %v", len(got), err)
	}
	must(t, l.Close())
}

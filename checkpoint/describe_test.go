package checkpoint

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
	"github.com/recoverd/recoverd/recovery"
)

func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Reset(recordtest.Full()))
	for _, c := range []struct {
		inUse  bool
		source Source
	}{{true, SourceMirrorB}, {false, SourceDatabase}} {
		before := readAll(t, dir)
		d, err := Describe(dir)
		if err != nil || d.InUse != c.inUse || d.Source != c.source || d.Seq != 2 || d.Run != 7 || d.LastRun != 7 || d.Dir != dir {
			t.Errorf("%v, %+v", err, d)
		}
		if diff := recordtest.Diff(recordtest.Full(), d.Record); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(before, readAll(t, dir)); diff != "" {
			t.Error("Describe changed something")
		}
		if c.inUse {
			must(t, s.Close())
		}
	}
}

// What is shown of a copy without its list is what the copy says, not what a
// restart makes of it.
func TestDescribeWithoutTheList(t *testing.T) {
	r := recordtest.Full()
	r.Progress.Unsettled = longList(4_000)
	dir := t.TempDir()
	s := mustOpen(t, dir)
	defer s.Close()
	must(t, s.Reset(r))
	d, err := Describe(dir)
	if err != nil || d.List != ListOmitted || d.Entries != 4_000 || d.Record.Progress.Covered == nil || d.Record.Progress.Unsettled != nil {
		t.Errorf("%v, %+v", err, d.LoadReport)
	}
}

func TestDescriptionAsJSON(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Reset(recordtest.Full()))
	must(t, s.Close())
	d, err := Describe(dir)
	must(t, err)
	text, err := json.Marshal(d)
	must(t, err)
	for _, want := range []string{`"source":"checkpoint.db"`, `"run":7`, `"last_run":7`, `"seq":2`, `"list":"whole"`, `"record":{"paused":true`, `"owned":"0,3-4,99"`, `"cursor":"40ee`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
}

func TestDescribeDamage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	must(t, s.Reset(recordtest.Full()))
	must(t, s.Close())
	flip(t, filepath.Join(dir, databaseName), 17)
	before := readAll(t, dir)
	d, err := Describe(dir)
	if err != nil || d.Source != SourceMirrorB || d.Fallbacks != 1 || len(d.Damage) != 1 || d.SetAside != "" {
		t.Errorf("%v, %+v", err, d.LoadReport)
	}
	if diff := cmp.Diff(before, readAll(t, dir)); diff != "" {
		t.Error("Describe changed something")
	}
}

func TestDescribeOfNothing(t *testing.T) {
	if _, err := Describe(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	dir := t.TempDir()
	d, err := Describe(dir)
	if err != nil || d.InUse || d.Source != SourceNone || len(readAll(t, dir)) != 0 {
		t.Errorf("%v, %+v", err, d)
	}
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, LockTimeout: time.Millisecond}
	s := mustOpen(t, dir)
	must(t, s.Reset(recordtest.Full()))
	if _, _, err := Discard(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("Discard of a checkpoint in use: %v", err)
	}
	must(t, s.Close())
	was, report, err := Discard(cfg)
	if err != nil || recordtest.Diff(recordtest.Full(), was) != "" || report.Run != 7 {
		t.Errorf("%v, %+v", err, report)
	}
	s = mustOpen(t, dir)
	got, report, err := s.Load()
	if err != nil || recordtest.Diff(recovery.Record{Paused: true}, got) != "" || report.LastRun != 7 || report.Run != 0 {
		t.Errorf("%v, %+v, %+v", err, got, report)
	}
	if err := s.Save(recordtest.Full()); !errors.Is(err, ErrStale) {
		t.Errorf("run 7 after it was discarded: %v", err)
	}
	goesOn(t, s, dir)
}

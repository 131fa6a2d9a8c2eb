package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/regular"
	"github.com/recoverd/recoverd/recovery/worker"
)

func newKept(t *testing.T) (kept, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return kept{dir: t.TempDir(), log: zerolog.New(log)}, log
}

func (k kept) mustWrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(k.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// aside returns what was set aside of a file.
func (k kept) aside(t *testing.T, name string) string {
	t.Helper()
	found, _ := filepath.Glob(k.path(name) + ".corrupt-*")
	if len(found) != 1 {
		t.Fatalf("set aside: %v", found)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLimitsAreKept(t *testing.T) {
	k, _ := newKept(t)
	if l, err := k.limits(); l != nil || err != nil {
		t.Errorf("before any: %+v, %v", l, err)
	}
	want := worker.Limits{Concurrency: 9, ConcurrencyMax: 1_024, BytesInFlight: 1 << 30, BytesPerSecond: 5 << 20}
	if err := k.keepLimits(&want); err != nil {
		t.Fatal(err)
	}
	if l, err := k.limits(); err != nil || *l != want {
		t.Errorf("%+v, %v", l, err)
	}
	if info, err := os.Stat(k.path(limitsFile)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	k.mustWrite(t, limitsFile, `{"concurrency": 9, "bytes_in_flight": 5, "bytes_per_second": 2048}`) // by an older version
	older := worker.Limits{Concurrency: 9, ConcurrencyMax: worker.DefaultConcurrencyMax, BytesInFlight: 5, BytesPerSecond: 2_048}
	if l, err := k.limits(); err != nil || *l != older {
		t.Errorf("%+v, %v", l, err)
	}
	for range 2 { // the second time there is nothing to remove
		if err := k.keepLimits(nil); err != nil {
			t.Fatal(err)
		}
	}
	if l, err := k.limits(); l != nil || err != nil {
		t.Errorf("after they were forgotten: %+v, %v", l, err)
	}
}

// A damaged file is set aside and told; an OS error is an error. Hazard 43.
func TestDamagedLimits(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "torn": `{"concurrency": 9, "bytes_in`, "of another kind": `[]`, "out of range": `{"concurrency": 99999, "bytes_in_flight": 1}`,
		"unknown key": `{"concurrency": 9, "bytes_in_flight": 5, "bytes_per_second": 0, "colour": 1}`,
		"followed":    `{"concurrency": 9, "bytes_in_flight": 5, "bytes_per_second": 0} {}`, "huge": strings.Repeat(" ", maxLimitsSize+1),
	} {
		t.Run(name, func(t *testing.T) {
			k, log := newKept(t)
			k.mustWrite(t, limitsFile, text)
			if l, err := k.limits(); l != nil || err != nil {
				t.Errorf("%+v, %v", l, err)
			}
			if k.aside(t, limitsFile) != text || !strings.Contains(log.String(), `"level":"error"`) || !strings.Contains(log.String(), k.path(limitsFile)) {
				t.Errorf("it says %s", log)
			}
		})
	}
	k, _ := newKept(t)
	if err := os.Mkdir(k.path(limitsFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if l, err := k.limits(); !errors.Is(err, regular.ErrNot) {
		t.Errorf("a file that cannot be read: %+v, %v", l, err)
	}
}

// Whatever lies there, what is taken for limits makes sense and is written as it is
// read.
func FuzzDecodeLimits(f *testing.F) {
	f.Add([]byte(`{"concurrency": 9, "bytes_in_flight": 5, "bytes_per_second": 2048}`))
	f.Add([]byte(`{"concurrency": 9, "auto": true, "concurrency_max": 99, "bytes_in_flight": 5, "bytes_per_second": 0}`))
	f.Add([]byte(`{"concurrency": 1e99}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits, err := decodeLimits(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(limits)
		if err != nil || limits.Validate() != nil {
			t.Fatalf("%+v, %v", limits, err)
		}
		if again, err := decodeLimits(text); err != nil || *again != *limits {
			t.Errorf("%+v became %+v, %v", limits, again, err)
		}
	})
}

func someHistory(n int) (events []worker.RunEvent) {
	for i := range n {
		events = append(events, worker.RunEvent{
			At: time.Unix(int64(1_800_000_000-i), 5).UTC(), Run: uint64(n - i), Decision: recovery.Discard, Why: fmt.Sprintf("reason %d\n\"quoted\"", i),
			From: recovery.MarkAt(recovery.BlobID{byte(i)}),
		})
	}
	return events
}

func sameHistory(t *testing.T, want, got []worker.RunEvent) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b recovery.Mark) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryIsKept(t *testing.T) {
	k, log := newKept(t)
	if events, err := k.history(); len(events) > 0 || err != nil {
		t.Errorf("before any: %v, %v", events, err)
	}
	want := someHistory(worker.MaxHistory)
	if err := k.keepHistory(want); err != nil {
		t.Fatal(err)
	}
	got, err := k.history()
	if err != nil || log.Len() > 0 {
		t.Errorf("%v; %s", err, log)
	}
	sameHistory(t, want, got)
	text, err := os.ReadFile(k.path(historyFile))
	if err != nil || bytes.Count(text, []byte("\n")) != worker.MaxHistory || !bytes.HasPrefix(text, []byte(`{"at":"2027-01-15T`)) {
		t.Errorf("the file begins with %.100s, %v", text, err)
	}
}

// What is damaged of a history costs the damaged lines, and is told.
func TestDamagedHistory(t *testing.T) {
	k, log := newKept(t)
	want := someHistory(3)
	if err := k.keepHistory(want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(k.path(historyFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines[1] = lines[1][:20] + "\x00" + lines[1][21:]
	damaged := strings.Join(lines[:3], "")[:len(text)-5] // the last one is torn
	k.mustWrite(t, historyFile, damaged)
	got, err := k.history()
	if err != nil {
		t.Fatal(err)
	}
	sameHistory(t, want[2:], got)
	if k.aside(t, historyFile) != damaged || !strings.Contains(log.String(), "2 of its lines") {
		t.Errorf("it says %s", log)
	}
	k.mustWrite(t, historyFile, strings.Repeat("x", maxHistorySize+1))
	if events, err := k.history(); err != nil || len(events) > 0 {
		t.Errorf("a file that is too large: %v, %v", events, err)
	}
}

// A write that fails leaves the file as it was, and nothing beside it.
func TestKeptOverAFailedWrite(t *testing.T) {
	k, _ := newKept(t)
	want := worker.Limits{Concurrency: 9, ConcurrencyMax: 1_024, BytesInFlight: 1 << 30}
	if err := k.keepLimits(&want); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(k.path(limitsFile)+".new", 0o700); err != nil { // where the draft would be
		t.Fatal(err)
	}
	if err := k.keepLimits(&worker.Limits{Concurrency: 1, ConcurrencyMax: 1_024, BytesInFlight: 1}); err == nil {
		t.Error("written all the same")
	}
	if l, err := k.limits(); err != nil || *l != want {
		t.Errorf("%+v, %v", l, err)
	}
	gone := kept{dir: filepath.Join(k.dir, "none"), log: k.log}
	if err := gone.keepHistory(someHistory(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

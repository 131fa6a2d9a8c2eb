package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// verb runs a newly made command and returns what it printed and its exit code.
func verb(t *testing.T, args ...string) (output string, code int, err error) {
	t.Helper()
	root := newRoot()
	root.RemoveCommand(root.Commands()...)
	root.AddCommand(newStatusCommand(), newCheckpointCommand(), newPauseCommand(), newResumeCommand(), newRetryCommand(), newLimitsCommand(),
		newUnsettledCommand(), newExplainCommand(), newHealthcheckCommand(), newWaitCommand(), newConfigCommand())
	var out bytes.Buffer
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err = root.ExecuteContext(t.Context())
	var exit *exitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.code
	default:
		code = exitFailure
	}
	return out.String(), code, err
}

// savedProgress leaves progress in a new state directory, as a daemon that ended
// does: in the middle of a pass, with one blob parked.
func savedProgress(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	store, err := checkpoint.Open(checkpoint.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := recovery.BlobID{0x80}
	record := recovery.Record{Paused: true, Progress: &recovery.Progress{
		Run: 3, Fence: recovery.Fence{Network: "testnet", TotalShards: 100, Placement: shards.Hashed, Owned: shards.Range(0, 39), Store: "c0ffee"},
		Epoch: 7, Bound: recovery.Bound{Stamp: recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}},
		Cursor: recovery.MarkAt(recovery.BlobID{0x7f}), Scan: recovery.MarkAt(recovery.BlobID{0x90}),
		Unsettled: []recovery.Unsettled{{ID: id, Size: 10, State: recovery.Parked, Tries: 10, Attempts: 12, Reason: recovery.Absent, LastError: "no peer has it"}},
		Counters:  recovery.Counters{Looked: 500, Stored: 120, StoredBytes: 491_520},
		Origin:    recovery.Origin{Decision: recovery.Fresh, Why: "there is no saved progress"},
		SavedAt:   time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC),
	}}
	if err := errors.Join(store.Reset(record), store.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// scriptedWorker is a daemon's worker in one state.
type scriptedWorker struct{ status worker.Status }

func (w scriptedWorker) Status() worker.Status { return w.status }
func (w scriptedWorker) LastTurn() time.Time   { return w.status.At }
func (w scriptedWorker) Unsettled(context.Context) ([]recovery.Unsettled, error) {
	return nil, worker.ErrEnded
}

// runningDaemon serves a status in a state directory until the test ends.
func runningDaemon(t *testing.T, dir string, w statusapi.Worker) {
	t.Helper()
	api, err := statusapi.New(statusapi.Config{Worker: w, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := statusapi.ListenUnix(t.Context(), statusapi.SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestStatusOfARunningDaemon(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	runningDaemon(t, dir, scriptedWorker{worker.Status{
		Status: recovery.Status{Phase: recovery.PhaseIncomplete, Why: "all is settled but 1 parked", Run: 4, Unsettled: recovery.UnsettledCounts{Total: 1, Parked: 1}},
		At:     now, Started: now,
	}})
	text, code, err := verb(t, "status", "--state-dir", dir)
	if code != exitOK || !strings.Contains(text, "incomplete: all is settled but 1 parked") || strings.Contains(text, "not running") {
		t.Errorf("code %d, %v:\n%s", code, err, text)
	}
	t.Setenv("RECOVERD_STATE_DIR", dir)
	text, code, err = verb(t, "status", "-o", "json")
	var doc statusapi.Document
	if code != exitOK || json.Unmarshal([]byte(text), &doc) != nil || !doc.Running || doc.Phase != "incomplete" || doc.Version != "1.2.3" {
		t.Errorf("code %d, %v:\n%s", code, err, text)
	}
}

// Hazard 39. No daemon is said as such, with the time of what is known.
func TestNoTaskIsRunningReadAsDone(t *testing.T) {
	dir := savedProgress(t)
	text, code, err := verb(t, "status", "--state-dir", dir)
	if code != exitOK {
		t.Fatalf("code %d, %v", code, err)
	}
	for _, part := range []string{
		"as of 2031-05-06T07:08:09Z, not running: it was looking at the catalog up to position 900",
		"paused", "began from nothing", "120 blobs, 480 KiB", "1: 1 parked", "7f00000000000000... on disk",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing:\n%s", part, text)
		}
	}
	for _, part := range []string{"remaining", "rate", "peers", "complete", "%"} {
		if strings.Contains(text, part) {
			t.Errorf("%q is claimed without a daemon:\n%s", part, text)
		}
	}
	text, _, _ = verb(t, "status", "--state-dir", dir, "-o", "json")
	var doc statusapi.Document
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Running || doc.Phase != "not_running" || doc.Peers != nil || doc.CatalogBlobs != nil {
		t.Errorf("%v:\n%s", err, text)
	}
}

// A process that holds the directory without answering is not "not running".
func TestHeldAndNotAnswering(t *testing.T) {
	dir := savedProgress(t)
	store, err := checkpoint.Open(checkpoint.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	text, code, err := verb(t, "status", "--state-dir", dir)
	if code != exitOK || !strings.Contains(text, "as of 2031-05-06T07:08:09Z, a process holds the state directory") || strings.Contains(text, "not running") {
		t.Errorf("code %d, %v:\n%s", code, err, text)
	}
	if !strings.Contains(text, "7f00000000000000... on disk") {
		t.Errorf("the mirror was not read:\n%s", text)
	}
}

func TestSavedWhy(t *testing.T) {
	bound := recovery.Bound{Stamp: recovery.Stamp{Position: 900}}
	at := recovery.MarkAt(recovery.BlobID{1})
	for _, tc := range []struct {
		progress  recovery.Progress
		unsettled int
		want      string
	}{
		{recovery.Progress{Bound: bound, Covered: &bound, Cursor: recovery.MarkEnd(), Scan: recovery.MarkEnd()}, 0, "everything up to position 900 was settled"},
		{recovery.Progress{Bound: bound, Covered: &bound, Cursor: at, Scan: recovery.MarkEnd()}, 7, "7 were not settled"},
		{recovery.Progress{Bound: bound, Cursor: at, Scan: at}, 0, "it was looking at the catalog"},
	} {
		if got := savedWhy(&tc.progress, tc.unsettled); !strings.Contains(got, tc.want) {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestStatusWithoutState(t *testing.T) {
	t.Setenv("RECOVERD_STATE_DIR", "")
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"none named", []string{"status"}, exitUsage, "--state-dir"},
		{"not there", []string{"status", "--state-dir", filepath.Join(dir, "none")}, exitConfig, "there is no state directory"},
		{"a file", []string{"status", "--state-dir", file}, exitConfig, "not a directory"},
		{"another format", []string{"status", "--state-dir", dir, "-o", "xml"}, exitUsage, "xml"},
		{"an argument", []string{"status", "now"}, exitUsage, "now"},
		{"checkpoint with an unknown verb", []string{"checkpoint", "shoo"}, exitUsage, "shoo"},
		{"show of none", []string{"checkpoint", "show"}, exitUsage, "--state-dir"},
		{"discard of none", []string{"checkpoint", "discard", "--state-dir", filepath.Join(dir, "none")}, exitConfig, "there is no state directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, code, err := verb(t, tc.args...)
			if code != tc.code || err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("code %d, %v; want %d and %q", code, err, tc.code, tc.says)
			}
		})
	}
	text, code, err := verb(t, "status", "--state-dir", dir)
	if code != exitOK || !strings.Contains(text, "not running: no progress was saved") {
		t.Errorf("an empty directory: code %d, %v:\n%s", code, err, text)
	}
}

// scene is a daemon as a watcher sees it: what it shows and when, and how the
// watch of it ends; and then what a look finds.
type scene struct {
	after time.Duration // since the one before it
	doc   *statusapi.Document
	err   error // ends the watch
	found statusapi.Document
}

// play is scenes; a follow goes on where the one before it ended.
type play struct {
	scenes []scene
	found  statusapi.Document
}

func (p *play) follow(ctx context.Context, show func(statusapi.Document) error) error {
	for len(p.scenes) > 0 {
		s := p.scenes[0]
		select {
		case <-time.After(s.after):
		case <-ctx.Done():
			return nil
		}
		p.scenes = p.scenes[1:]
		p.found = s.found
		if s.doc == nil {
			return s.err
		}
		if err := show(*s.doc); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func (p *play) read(context.Context) (statusapi.Document, error) { return p.found, nil }

func shown(after time.Duration, change func(*statusapi.Document)) scene {
	d := scanningDocument()
	if change != nil {
		change(&d)
	}
	return scene{after: after, doc: &d}
}

func left(found string) scene {
	return scene{err: statusapi.ErrNotRunning, found: statusapi.Document{Phase: found, Why: "no progress was saved"}}
}

// Lines come when the phase changes, and else every 10 s, whether anything moves or
// not. A daemon that starts or ends is waited for.
func TestWatchEndsWithTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &play{scenes: []scene{
			shown(0, nil), shown(time.Second, nil), shown(25*time.Second, func(d *statusapi.Document) { d.Phase = "draining" }),
			left(statusapi.PhaseNoAnswer), shown(0, nil), left(statusapi.PhaseNotRunning),
		}}
		start := time.Now()
		if err := watchStatus(t.Context(), p, textLines{out: &out}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 26*time.Second+askAgain {
			t.Errorf("it took %v", took)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		want := "2031-05-06T07:08:09Z scanning: 49.9 % settled, 500 stored, 10 unsettled of which 0 retrying and 2 parked, 10.0 blobs/s, 40 KiB/s, remaining 41 s to 4 min"
		if len(lines) != 6 || lines[0] != want || lines[1] != want || lines[2] != want || !strings.Contains(lines[3], " draining: ") || lines[4] != want || !strings.Contains(lines[5], "not running") {
			t.Errorf("got:\n%s", out.String())
		}
	})
}

func TestWatchGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &play{scenes: []scene{shown(0, nil), {err: io.ErrUnexpectedEOF}}}
		if err := watchStatus(t.Context(), p, jsonLines{out: io.Discard}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
		p = &play{scenes: []scene{shown(0, nil), shown(time.Second, nil)}}
		if err := watchStatus(t.Context(), p, jsonLines{out: closedPipe{}}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("with nobody who reads: %v", err)
		}
	})
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		var out bytes.Buffer
		if err := watchStatus(ctx, &play{scenes: []scene{shown(0, nil)}}, jsonLines{out: &out}); err != nil {
			t.Error(err)
		}
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("%d documents in 25 s", n)
		}
	})
}

// The live view redraws, ends with the last status, and leaves nothing running.
func TestLiveView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &play{scenes: []scene{shown(0, nil), shown(2*time.Second, nil), shown(2*time.Second, nil), left(statusapi.PhaseNotRunning)}}
		if err := watchStatus(t.Context(), p, newLiveView(&out)); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		for _, part := range []string{"scanning", "5,000 of 10,000", "not yet", "49.9 %, 41 s to 4 min left", "looked at"} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is missing:\n%q", part, text)
			}
		}
		if !strings.HasSuffix(text, "not running: no progress was saved\n") {
			t.Errorf("it does not end with the last status:\n%q", text)
		}
	})
}

// Hazards 36, 37. The bar of draining is full only when nothing is unsettled.
func TestDrainage(t *testing.T) {
	d := scanningDocument()
	g := &drainage{}
	step := func(unsettled, want int, wantText string) {
		t.Helper()
		d.Unsettled.Total = unsettled
		if permille, text := g.note(d); permille != want || text != wantText {
			t.Errorf("with %d unsettled: %d thousandths, %q; want %d, %q", unsettled, permille, text, want, wantText)
		}
	}
	step(10, 0, "not yet")
	d.Phase, d.Covered = "draining", d.Bound
	step(8, 0, "8 unsettled")
	step(2, 750, "2 unsettled")
	step(4, 500, "4 unsettled")
	step(0, 999, "0 unsettled")
	d.Phase = "complete"
	step(0, 1_000, "done")
	d.Phase, d.Covered = "scanning", nil
	step(3, 0, "not yet")
}

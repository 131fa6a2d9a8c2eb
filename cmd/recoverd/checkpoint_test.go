package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/checkpoint"
)

func TestCheckpointShow(t *testing.T) {
	dir := savedProgress(t)
	text, code, err := verb(t, "checkpoint", "show", "--state-dir", dir, "--unsettled")
	if code != exitOK {
		t.Fatalf("code %d, %v", code, err)
	}
	for _, part := range []string{
		"checkpoint.db", `network "testnet", shards 0-39 of 100`, "none", "7f0000000000", "9000000000", "800000000",
		"parked, attempts 12, absent: no peer has it", "2031-05-06T07:08:09Z", "began from nothing",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing:\n%s", part, text)
		}
	}
	if strings.Contains(text, "a daemon is running") {
		t.Errorf("nobody holds the lock:\n%s", text)
	}
	short, _, _ := verb(t, "checkpoint", "show", "--state-dir", dir)
	if strings.Contains(short, "no peer has it") {
		t.Errorf("the list was not asked for:\n%s", short)
	}
	text, _, _ = verb(t, "checkpoint", "show", "--state-dir", dir, "-o", "json")
	var d struct {
		Run    uint64
		Source string
		Record struct{ Progress struct{ Unsettled []any } }
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil || d.Run != 3 || d.Source != "checkpoint.db" || len(d.Record.Progress.Unsettled) != 1 {
		t.Errorf("%v:\n%s", err, text)
	}
}

// Show works while a daemon holds the lock, and discard does not.
func TestCheckpointInUse(t *testing.T) {
	dir := savedProgress(t)
	store, err := checkpoint.Open(checkpoint.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	text, code, err := verb(t, "checkpoint", "show", "--state-dir", dir)
	if code != exitOK || !strings.Contains(text, "a daemon is running") || !strings.Contains(text, "progress-") || !strings.Contains(text, "7f000000") {
		t.Errorf("show: code %d, %v:\n%s", code, err, text)
	}
	if _, code, err := verb(t, "checkpoint", "discard", "--state-dir", dir, "--yes"); code != exitTryAgain {
		t.Errorf("discard: code %d, %v; want %d", code, err, exitTryAgain)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpointDiscard(t *testing.T) {
	dir := savedProgress(t)
	_, code, err := verb(t, "checkpoint", "discard", "--state-dir", dir)
	if code != exitUsage || !strings.Contains(err.Error(), "run 3, cursor 7f00000000000000..., 120 blobs stored, 1 unsettled") {
		t.Fatalf("without --yes: code %d, %v", code, err)
	}
	if text, _, _ := verb(t, "checkpoint", "show", "--state-dir", dir); !strings.Contains(text, "7f000000") {
		t.Fatalf("it was discarded without --yes:\n%s", text)
	}
	text, code, err := verb(t, "checkpoint", "discard", "--state-dir", dir, "--yes")
	if code != exitOK || !strings.Contains(text, "discarded run 3") || !strings.Contains(text, "the next run is number 4") {
		t.Fatalf("code %d, %v:\n%s", code, err, text)
	}
	text, _, _ = verb(t, "checkpoint", "show", "--state-dir", dir)
	if strings.Contains(text, "7f000000") || !strings.Contains(text, "the last run was number 3") {
		t.Errorf("afterwards:\n%s", text)
	}
	// Hazard 40. A pause outlives a discard.
	if !strings.Contains(text, "paused") {
		t.Errorf("the pause is forgotten:\n%s", text)
	}
	text, code, _ = verb(t, "checkpoint", "discard", "--state-dir", dir, "--yes")
	if code != exitOK || !strings.Contains(text, "no saved progress") {
		t.Errorf("the second time: code %d:\n%s", code, text)
	}
}

// To look, or to find nothing to discard, makes no files.
func TestCheckpointVerbsMakeNothing(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"status"}, {"checkpoint", "show"}, {"checkpoint", "discard", "--yes"}} {
		if _, code, err := verb(t, append(args, "--state-dir", dir)...); code != exitOK {
			t.Errorf("%v: code %d, %v", args, code, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

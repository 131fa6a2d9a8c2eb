package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

func statusText(t *testing.T, d statusapi.Document) string {
	t.Helper()
	var out bytes.Buffer
	if err := writeStatus(&out, d); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestStatusText(t *testing.T) {
	d := scanningDocument()
	d.Ownership = &shards.Ownership{Epoch: 7, TotalShards: 100, Owned: shards.Range(0, 39), Node: shards.Active}
	d.Room = &statusapi.RoomView{FreeBytes: 5 << 30, MinFreeBytes: 1 << 30}
	d.Store = &statusapi.StoreView{Root: "/blobs", Foreign: true, Volumes: []statusapi.VolumeView{
		{Path: "/blobs/0", Durability: "fdatasync", Why: "others have 512 MiB to be written", LastFlushMS: 17.2, GroupBlobs: 500, GroupBytes: 2 << 20},
		{Path: "/blobs/7", Durability: "syncfs", Why: "nothing speaks against it", LastFlushMS: 1.7}, // of names
	}}
	d.PeersReachable = 1
	level := "warn"
	limits := limitsOf(worker.Limits{Concurrency: 64, Auto: true, ConcurrencyMax: 1_024, BytesInFlight: 256 << 20, BytesPerSecond: 20 << 20})
	d.LogLevel, d.Limits = &level, &limits
	d.Peers = []statusapi.PeerView{
		{Name: "http://good", State: "reachable", Why: "asked for pieces", Fetched: 500, AnswerP50Seconds: 0.0042, AnswerP99Seconds: 0.25},
		{Name: "http://bad", State: "unreachable", Why: "not asked but probed, because a request got no answer", Absent: 2, Unreachable: 7, Failovers: 1,
			Beaten: 3, LastError: "connection\x1b[2J refused", LastErrorAt: d.At.Add(-12 * time.Second)},
	}
	want := `phase       scanning: looking at the catalog up to position 900
run         3, resumed at 7f01000000000000...: same shards, store and network; 2 unsettled
looked at   5,000 of 10,000 catalog blobs in this pass, 49.9 % settled
stored      500 blobs, 2.0 MiB
skipped     1,480 already stored, 0 not certified any more, 10 expired
unsettled   10: 8 in flight, 2 parked (32 KiB in flight)
rate        10.0 blobs/s, 40 KiB/s
remaining   41 s to 4 min
catalog     testnet: covered none, this pass goes up to position 900
cursor      7f01000000000000... on disk, saved 1 s ago
shards      40 of 100, epoch 7, node active
peers       1 of 2 reachable
            state        speed  half answer in  99 % in  in flight  fetched  peer
            unreachable  0 B/s               -        -          0        0  http://bad
              not asked but probed, because a request got no answer, 2 absent, 7 unanswered, 1 broken off, 3 slower than another; 12 s ago: connection [2J refused
            reachable    0 B/s          4.2 ms   250 ms          0      500  http://good
free space  5.0 GiB, 1.0 GiB are kept free
store       /blobs has pieces that others wrote: their names are trusted, not hashed
durability  /blobs/0: fdatasync, others have 512 MiB to be written; the last flush took 17.2 ms for 500 blobs, 2.0 MiB
durability  /blobs/7: syncfs, nothing speaks against it; the last flush took 1.7 ms
limits      64 blobs (auto, 4 to 1,024) and 256 MiB in flight, bandwidth: 20 MiB/s
daemon      up 1 min, version 1.2.3, logs warn
`
	if diff := cmp.Diff(want, statusText(t, d)); diff != "" {
		t.Error(diff)
	}
}

// What is complete has no rate, and nothing remains of it.
func TestStatusTextComplete(t *testing.T) {
	d := scanningDocument()
	d.Phase, d.Why = recovery.PhaseComplete.String(), "complete at epoch 7, position 900"
	if text := statusText(t, d); strings.Contains(text, "remaining") || strings.Contains(text, "rate") {
		t.Error(text)
	}
}

// What stands in the way is said first.
func TestStatusTextInTrouble(t *testing.T) {
	d := scanningDocument()
	d.Phase, d.Why, d.Run = "waiting", "ownership is not known yet", 0
	d.Paused, d.Blocked, d.Trouble, d.OwnershipTrouble = true, "no peer can be reached", "catalog page: EOF", "shard 200 is owned"
	d.CursorDurable, d.Bound = nil, nil
	want := `phase      waiting: ownership is not known yet
paused     yes, until it is resumed; restarts do not change that
blocked    no peer can be reached
trouble    catalog page: EOF
ownership  a new document was refused, the old one stays in force: shard 200 is owned
peers      2 of 2 reachable
daemon     up 1 min, version 1.2.3
`
	if diff := cmp.Diff(want, statusText(t, d)); diff != "" {
		t.Error(diff)
	}
}

func TestOriginText(t *testing.T) {
	from := recovery.MarkAt(recovery.BlobID{0x7f})
	for _, tc := range []struct {
		origin recovery.Origin
		want   string
	}{
		{recovery.Origin{Decision: recovery.Discard, Why: "shard 7 wiped", From: from}, "discarded earlier progress, which was at 7f00000000000000...: shard 7 wiped"},
		{recovery.Origin{Decision: recovery.Fresh, Why: "there is no saved progress"}, "began from nothing: there is no saved progress"},
		{recovery.Origin{Decision: "invented_later", Why: "because"}, "invented_later: because"},
	} {
		if got := originText(tc.origin); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestTableIsCutToTheTerminal(t *testing.T) {
	var out bytes.Buffer
	tab := &table{}
	tab.row("label", "%s", strings.Repeat("äöü", 40))
	tab.row("a longer label", "short")
	if err := tab.write(&out, 30); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 30 {
			t.Errorf("%d characters: %q", n, line)
		}
	}
}

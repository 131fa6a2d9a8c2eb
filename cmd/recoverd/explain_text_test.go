package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

func explanationText(t *testing.T, e explanation) string {
	t.Helper()
	var out bytes.Buffer
	if err := writeExplanation(&out, e); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// parkedBlob is one that two peers were asked for, one of which lies, and whose error
// tries to steer the terminal.
func parkedBlob() explanation {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	yes, no, length, epoch, end := true, false, int64(4_096), uint32(7), uint32(12)
	e := explanation{Running: true}
	e.Explanation = worker.Explanation{
		ID: recovery.BlobID{0x80}, At: at, Started: at.Add(-time.Hour), State: "parked", Why: "failed tries in which a peer answered: 10",
		Stamp: &recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}, Certified: &yes, OwnershipEpoch: &epoch,
		Row:    &worker.ExplainedRow{Size: &length, Encoding: "raw", CertifiedEpoch: 5, EndEpoch: &end, Gained: 450},
		Shards: []worker.ExplainedShard{{Shard: 17, Owned: true, Stored: &no}},
		Tries: []worker.Try{{At: at.Add(-90 * time.Second), Outcome: recovery.Cancelled, Reason: recovery.WrongBytes, Err: "the last one", Peers: []worker.PeerTry{
			{Peer: "http://one/{id}", Reason: recovery.Absent, Err: "status 404 Not Found"},
			{Peer: "http://two/{id}", Reason: recovery.WrongBytes, Err: "SHA-256 differs\x1b[2J"},
		}}},
		Liars: []string{"http://two/{id}"},
	}
	e.Entry = &statusapi.UnsettledBlob{
		ID: e.ID, Size: &length, State: "parked", Tries: 10, Attempts: 12, FirstFailed: at.Add(-time.Hour), NextTry: at.Add(5 * time.Minute),
		Reason: recovery.WrongBytes, LastError: "http://two/{id}: SHA-256 differs",
	}
	return e
}

func TestExplanationText(t *testing.T) {
	id := "80" + strings.Repeat("0", 62)
	want := `blob       ` + id + `
state      parked
why        failed tries in which a peer answered: 10
failures   12 attempts, 10 definite failures (a peer answered: it has not got
             it, or sent wrong bytes), the first at 2031-05-06T06:08:09Z
last one   wrong_bytes: http://two/{id}: SHA-256 differs
next try   in 5 min
certified  from epoch 5 to epoch 12, exclusive, gained at position 450; asked:
             testnet at position 900, epoch 7
content    4.0 KiB (4,096 bytes), encoding raw
shards     17: owned (epoch 7), not stored
tries      1 min ago: cancelled, wrong_bytes
             http://one/{id}: absent: status 404 Not Found
             http://two/{id}: wrong_bytes: SHA-256 differs [2J
liars      http://two/{id} lately sent wrong bytes for it
do         a peer holds damaged bytes, or lies: have it repaired, or name
             another one (--peer); then: recoverd retry
             ` + id + `
`
	if diff := cmp.Diff(want, explanationText(t, parkedBlob())); diff != "" {
		t.Error(diff)
	}
}

// What is not known is said to be, and never taken for no.
func TestExplanationOfWhatIsNotKnown(t *testing.T) {
	e := explanation{}
	e.Running = true
	e.State, e.CertifiedError = "unknown", "catalog page: input/output error"
	e.Shards = []worker.ExplainedShard{{Shard: 3, Owned: true}, {Shard: 4}, {Shard: 5}}
	text := explanationText(t, e)
	for _, part := range []string{
		"not known: catalog page: input/output error", "3: owned, whether it is stored is not known", "2 shards of other nodes", "mend what keeps the catalog from being read",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing:\n%s", part, text)
		}
	}
	for _, part := range []string{"not stored", "certified  no\n", "certified  no;"} {
		if strings.Contains(text, part) {
			t.Errorf("%q is claimed:\n%s", part, text)
		}
	}
}

// From what was saved only as much is concluded as it says. Hazards 2, 39.
func TestExplainSaved(t *testing.T) {
	bound := recovery.Bound{Stamp: recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}}
	low, high := recovery.BlobID{0x10}, recovery.BlobID{0xf0}
	saved := checkpoint.Description{Record: recovery.Record{Progress: &recovery.Progress{
		Run: 3, Fence: recovery.Fence{Network: "testnet", TotalShards: 1, Placement: shards.Hashed, Owned: shards.Range(0, 0)},
		Epoch: 7, Bound: bound, Scan: recovery.MarkAt(recovery.BlobID{0x90}),
		Unsettled: []recovery.Unsettled{{ID: recovery.BlobID{0x20}, State: recovery.Parked}},
	}}}
	saved.List, saved.Entries = checkpoint.ListWhole, 1
	row := func(id recovery.BlobID, gained uint64, end uint32) glance {
		return glance{stamp: &bound.Stamp, row: &recovery.Row{Blob: recovery.Blob{ID: id, Size: 5}, CertifiedEpoch: 5, EndEpoch: end, Gained: gained}}
	}
	older := glance{stamp: &recovery.Stamp{Network: "testnet", Epoch: 7, Position: 899}}
	foreign := glance{stamp: &recovery.Stamp{Network: "othernet", Epoch: 7, Position: 999}}
	omitted, none, striped := saved, saved, saved
	omitted.List = checkpoint.ListOmitted
	none.Record.Progress = nil
	other := *saved.Record.Progress
	other.Fence.Owned = shards.Set{}
	striped.Record.Progress = &other
	for _, tc := range []struct {
		name  string
		saved checkpoint.Description
		id    recovery.BlobID
		at    glance
		want  string
	}{
		{"listed", saved, recovery.BlobID{0x20}, glance{err: errNoCatalog}, "parked"},
		{"below the scan", saved, low, row(low, 800, 12), "settled"},
		{"above it", saved, high, row(high, 800, 12), "not_reached"},
		{"certified later", saved, low, row(low, 901, 12), "not_reached"},
		{"expired", saved, low, row(low, 800, 7), "expired"},
		{"not certified", saved, low, glance{stamp: &bound.Stamp}, "not_certified"},
		{"an older catalog", saved, low, older, "unknown"},
		{"another network's", saved, low, foreign, "unknown"},
		{"no catalog", saved, low, glance{err: errNoCatalog}, "unknown"},
		{"the list is not there", omitted, low, row(low, 800, 12), "unknown"},
		{"nothing saved", none, low, row(low, 800, 12), "unknown"},
		{"nothing owned", striped, low, row(low, 800, 12), "not_owned"},
	} {
		e := explainSaved(tc.saved, tc.id, tc.at)
		if e.State != tc.want || e.Why == "" || e.Running || (e.Certified == nil) != (e.CertifiedError != "") {
			t.Errorf("%s: %s", tc.name, toJSON(e))
		}
		for _, s := range e.Shards {
			if s.Stored != nil {
				t.Errorf("%s: who looked into the store? %s", tc.name, toJSON(e))
			}
		}
		if text := explanationText(t, e); !strings.Contains(text, "not running") || !strings.Contains(text, "not saved") {
			t.Errorf("%s:\n%s", tc.name, text)
		}
	}
}

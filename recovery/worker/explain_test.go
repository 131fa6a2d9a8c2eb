package worker_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// explained asks and must get an answer.
func (p *process) explained(b recovery.Blob) worker.Explanation {
	p.world.t.Helper()
	e, err := p.worker.Explain(context.Background(), b.ID)
	p.must(err)
	return e
}

// wantState checks the word and that the sentence says what it has to.
func wantState(t *testing.T, e worker.Explanation, state, why string) {
	t.Helper()
	if e.State != state || !strings.Contains(e.Why, why) {
		t.Errorf("%s (%s), want %s (...%s...)", e.State, e.Why, state, why)
	}
}

// Each state that a blob without an entry can be in.
func TestExplainWithoutAnEntry(t *testing.T) {
	inWorld(t, 30, func(t *testing.T, w *world) {
		w.own.owned, w.own.node = "0-2", shards.CatchingUp
		w.catalog.SetEpoch(5)
		gone, expired := w.certify(30), w.certify(31)
		w.catalog.Remove(gone.ID)
		w.catalog.Add(recovery.Row{Blob: expired, EndEpoch: 8})
		mine := w.owned()[0]
		p := w.start()
		p.until("ownership is known", time.Minute, func(s worker.Status) bool { return s.Ownership != nil })
		e := p.explained(mine)
		wantState(t, e, "not_reached", "no run is in force: the node is catching_up")
		if e.Certified != nil || e.CertifiedError == "" || e.Stamp != nil || e.OwnershipEpoch == nil || len(e.Shards) != 1 || e.Shards[0].Stored != nil {
			t.Errorf("%+v", e)
		}
		w.assign(func(o *ownership) { o.node, o.epoch = shards.Active, 8 })
		p.until("the scan is done", time.Minute, func(s worker.Status) bool { return s.Counters.Passes == 1 && s.Unsettled.Total == 0 })
		wantState(t, p.explained(gone), "not_certified", "nothing to do")
		wantState(t, p.explained(expired), "expired", "until epoch 8, and it is epoch 8")
		for _, b := range w.blobs {
			if b != gone && b != expired && !concerns(b, w.ownedSet()) {
				e = p.explained(b)
				wantState(t, e, "not_owned", "none of this node's shards")
				if e.Shards[0].Shard != 3 || e.Shards[0].Owned || e.Shards[0].Stored != nil {
					t.Errorf("shards: %+v", e.Shards)
				}
				break
			}
		}
		e = p.explained(mine)
		wantState(t, e, "settled", "it is stored")
		if !*e.Certified || *e.Row.Size != mine.Size || e.Row.Encoding != "raw" || e.Row.EndEpoch != nil || e.Row.Expired || !*e.Shards[0].Stored || e.Stamp.Position == 0 || *e.OwnershipEpoch != 8 {
			t.Errorf("%s", asJSON(t, e))
		}
		w.disk.Lose(shards.Home(mine.ID, totalShards), mine.ID)
		wantState(t, p.explained(mine), "settled", "does not have its piece now: repair it")
	})
}

// What the scan has not come to, and what is newer than its bound.
func TestExplainNotReached(t *testing.T) {
	inWorld(t, 40, func(t *testing.T, w *world) {
		p := w.start(limits(1, 10), taking(time.Hour), func(s *setup) { s.worker.Machine.Unsettled = 1 })
		p.until("fetching", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 1 })
		e := p.explained(w.blobs[0])
		wantState(t, e, "fetching", "it is being fetched")
		if e.Entry == nil || e.Shards[0].Stored != nil {
			t.Errorf("a blob that is under way: %s", asJSON(t, e))
		}
		wantState(t, p.explained(w.blobs[39]), "not_reached", "has not come to it")
		p.stop()
		// A restart goes on with the old bound, in the newer catalog.
		low := w.certify(41)
		for n := 42; low.ID.Compare(w.blobs[1].ID) > 0; n++ {
			low = w.certify(n)
		}
		p = w.start(limits(1, 10), taking(time.Hour), func(s *setup) { s.worker.Machine.Unsettled = 1 })
		p.until("fetching", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 1 })
		wantState(t, p.explained(low), "not_reached", "newer than the present pass")
	})
}

// A blob that does not come: who was asked, and what each of them said, of the last
// tries only.
func TestExplainTries(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		bad := w.blobs[1]
		w.peers[0].Delete(bad.ID, 0)
		w.peers[1].Put(bad.ID, 0, []byte("a page for the browser"))
		p := w.start(limits(4, 3), func(s *setup) { s.worker.Machine.ParkedRetry = time.Minute })
		p.untilPhase(recovery.PhaseIncomplete, time.Hour)
		e := p.explained(bad)
		wantState(t, e, "parked", "failed tries in which a peer answered: 3;")
		if len(e.Tries) != 3 || e.Tries[0].At.After(e.Tries[2].At) {
			t.Fatalf("tries: %s", asJSON(t, e.Tries))
		}
		last := e.Tries[2]
		got := map[string]recovery.Reason{}
		for _, peer := range last.Peers {
			got[peer.Peer] = peer.Reason
			if peer.Err == "" {
				t.Errorf("%s says nothing", peer.Peer)
			}
		}
		if diff := cmp.Diff(map[string]recovery.Reason{"a": recovery.Absent, "b": recovery.WrongBytes}, got); diff != "" {
			t.Error(diff)
		}
		if last.Outcome != recovery.Cancelled || last.Reason != recovery.WrongBytes || cmp.Diff([]string{"b"}, e.Liars) != "" {
			t.Errorf("%+v, liars %v", last, e.Liars)
		}
		time.Sleep(time.Hour)
		if e = p.explained(bad); len(e.Tries) != 16 {
			t.Errorf("after an hour %d tries are remembered", len(e.Tries))
		}
		w.serve(bad)
		_, err := p.worker.Retry(t.Context(), []recovery.BlobID{bad.ID})
		p.must(err)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		e = p.explained(bad)
		wantState(t, e, "settled", "it is stored")
		if last := e.Tries[15]; last.Outcome != recovery.Success || len(last.Peers) != 1 || last.Peers[0].Reason != "" {
			t.Errorf("the last try is %+v", last)
		}
		if e = p.explained(w.blobs[0]); len(e.Tries) != 0 {
			t.Errorf("what came at once has %d tries", len(e.Tries))
		}
	})
}

// The words of its JSON are stable, lists are never null, and unknown is.
func TestExplanationAsJSON(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		p := w.start(exitWhenComplete, func(s *setup) { s.worker.ExitWhenComplete = false })
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		id := w.blobs[0].ID.String()
		got := asJSON(t, p.explained(w.blobs[0]))
		for _, want := range []string{
			`"id": "` + id, `"stamp": {`, `"certified": true`, `"certified_error": ""`, `"end_epoch": null`, `"ownership_epoch": 1`,
			`"stored": true`, `"state": "settled"`, `"entry": null`, `"tries": []`, `"liars": []`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("there is no %s in\n%s", want, got)
			}
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Explain ends with its context, and with the worker.
func TestExplainEnds(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		p := w.start()
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if e, err := p.worker.Explain(ctx, w.blobs[0].ID); err == nil {
			t.Errorf("%+v", e)
		}
		p.stop()
		synctest.Wait()
		if _, err := p.worker.Explain(t.Context(), w.blobs[0].ID); err != worker.ErrEnded {
			t.Errorf("%v", err)
		}
	})
}

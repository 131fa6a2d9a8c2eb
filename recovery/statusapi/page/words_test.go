package page_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// stateCase is a state and what elements of the page must say of it.
type stateCase struct {
	name  string
	facts facts
	says  map[string][]string // by selector
}

// Each state answers the four questions of somebody who was paged, and nothing
// but a complete one says 100 %.
func states(t *testing.T, browser context.Context) {
	d := startDaemon(t, empty())
	tb := openLive(t, browser, d, view{})
	for _, tc := range append(statesThatAreWell(), statesInTrouble()...) {
		t.Run(tc.name, func(t *testing.T) {
			tb := tb.in(t)
			tb.show(d, tc.facts)
			for selector, parts := range tc.says {
				tb.waitText(selector, parts...)
			}
			if says := eval[string](tb, `document.body.innerText`); strings.Contains(says, "100 %") != (tc.facts.doc.Phase == "complete") {
				t.Errorf("in phase %s it says 100 %%, or does not:\n%s", tc.facts.doc.Phase, says)
			}
			if title := eval[string](tb, `document.title`); !strings.Contains(title, tc.facts.doc.Phase) {
				t.Errorf("the title is %q", title)
			}
		})
	}
}

func statesThatAreWell() []stateCase {
	newer := complete()
	further := *newer.doc.Newest
	further.Position += 17
	newer.doc.Newest = &further
	behind := empty()
	behind.doc.Ownership, behind.doc.Why = &shards.Ownership{Epoch: 7, TotalShards: 100, Owned: shards.Range(0, 39), Node: shards.CatchingUp}, "the node is catching up"
	untouched := complete()
	untouched.doc.Counters.Stored, untouched.doc.Counters.StoredBytes = 0, 0
	return []stateCase{
		{"fresh and waiting", empty(), map[string][]string{
			"#tone": {"Held up"}, "#phase": {"waiting"}, "#why": {"ownership is not known yet"}, "#left": {"unknown"}, "#todo": {"ownership document"},
			"#owned .share": {"unknown"}, "#pass .share": {"unknown"}, "#scope": {"No pass has begun."}, "#marks": {"unknown", "before every id"},
			"#catalog": {"unknown"}, "#checkpoint": {"unknown"}, "#shards-summary": {"Unknown until ownership is known."}, "#history-none": {"No run has begun yet."},
		}},
		{"scanning", scanning(), map[string][]string{
			"#tone": {"Fine"}, "#phase": {"scanning"}, "#left": {"12 to 25 min"}, "#todo": {"Nothing."}, "#pass .share": {"60.9 %"}, "#owned .share": {"68.5 %"},
			"#pass .detail": {"734,440 of 1,204,000 catalog blobs", "48 unsettled"}, "#size .share": {"unknown"}, "#size .detail": {"402 GiB fetched", "48.0 MiB in flight"},
			"#byte-rate": {"214 MiB/s"}, "#blob-rate": {"812 blobs/s"}, "#flow": {"36 of 64 blobs", "256 MiB", "none"}, "#peers": {"did not have it 801 times", "4.2 ms, 99 % in 310 ms", "was slower than another 31 times", "one request at a time until it answers, after 6 failures in a row"},
			"#history": {"Discarded earlier progress", "shard 7 wiped", "Began from nothing"}, "#ownership": {"0-39 of 100 shards", "active"},
			"#store": {"/srv/blobs", "812 GiB"}, "#catalog": {"testnet", "position 1,204,551, epoch 7"}, "#checkpoint": {"ago", "20,411"},
		}},
		{"complete", complete(), map[string][]string{
			"#tone": {"Fine"}, "#phase": {"complete"}, "#means": {"up to position 1,204,551 (epoch 7)"}, "#left": {"done"}, "#todo": {"Nothing."},
			"#owned .share": {"100 %"}, "#pass .share": {"100 %"}, "#size .share": {"100 %"}, "#size .detail": {"nothing is left"}, "#list-none": {"None."},
		}},
		{"complete, and the catalog moved", newer, map[string][]string{"#left-note": {"the catalog is at 1,204,568 by now"}}},
		{"complete, and nothing was fetched", untouched, map[string][]string{"#size .share": {"100 %"}, "#size .detail": {"0 B fetched"}}},
		{"the node catches up", behind, map[string][]string{"#tone": {"Waiting"}, "#todo": {"Nothing while the node catches up"}, "#why": {"catching up"}}},
		{"second pass", secondPass(), map[string][]string{
			"#pass .detail": {"12 of 400"}, "#pass .share": {"3.0 %"}, "#scope": {"Pass 2 of run 3", "figures begin again", "up to position 1,204,551 is finished"},
			"#left-note": {"no estimate"},
		}},
	}
}

func statesInTrouble() []stateCase {
	low := scanning()
	low.doc.Room.Low, low.doc.Room.FreeBytes = true, 3<<30
	low.doc.Blocked = "the store's volume has 3072 MiB free, fewer than the 50 GiB to be kept"
	lying := scanning()
	lying.doc.Peers[1].WrongBytes = 1
	refused := scanning()
	refused.doc.OwnershipTrouble = "shard 200 is owned, but total_shards is 100"
	stale := scanning()
	stale.doc.Checkpoint.SavedAt = stale.doc.At.Add(-3 * time.Minute)
	lagging := complete()
	lagging.shards[3].Done = ptr(uint64(999))
	return []stateCase{
		{"draining", draining(), map[string][]string{
			"#tone": {"Needs a look"}, "#phase": {"draining"}, "#left": {"unknown"}, "#left-note": {"23 blobs that fail"},
			"#todo": {"7 parked blobs", "archive.example", "wrong bytes"}, "#pass .share": {"99.9 %"}, "#owned .share": {"99.9 %"},
			"#size .detail": {"left, and 2 blobs of unknown size"}, "#peers": {"sent wrong bytes 14 times"},
			"#unsettled-summary": {"31 blobs: 7 parked, 16 retrying, 6 in flight, 2 being made durable"},
		}},
		{"incomplete", incomplete(), map[string][]string{
			"#tone": {"Needs a look"}, "#phase": {"incomplete"}, "#left": {"unknown"}, "#todo": {"7 parked blobs"}, "#pass .share": {"99.9 %"},
		}},
		{"complete, and a count lags", lagging, map[string][]string{"#owned .share": {"99.9 %"}, "#left": {"done"}}},
		{"halted", halted(), map[string][]string{
			"#tone": {"Needs you now"}, "#phase": {"halted"}, "#why": {"input/output error"}, "#todo": {"exit code 74", "disk"}, "#left": {"unknown"},
		}},
		{"paused", paused(), map[string][]string{
			"#tone": {"Paused"}, "#phase": {"scanning, paused"}, "#left": {"unknown"}, "#left-note": {"paused"}, "#todo": {"Press Resume"}, "#pause": {"Resume"},
		}},
		{"outage", outage(), map[string][]string{
			"#tone": {"Held up"}, "#held": {"no peer can be reached"}, "#todo": {"Bring a peer back"}, "#left": {"unknown"}, "#peers-summary": {"0 of 3 reachable"},
		}},
		{"empty store", storeEmpty(), map[string][]string{
			"#tone": {"Held up"}, "#phase": {"waiting"}, "#why": {"is the disk mounted?", "recoverd store accept"}, "#left": {"unknown"},
		}},
		{"low on space", low, map[string][]string{"#tone": {"Held up"}, "#todo": {"Make room", "/srv/blobs", "3.0 GiB are free"}, "#store": {"too little"}}},
		{"a peer lies", lying, map[string][]string{"#tone": {"Needs a look"}, "#todo": {"peer-b.internal", "find out why it did"}, "#peers": {"sent wrong bytes once"}}},
		{"ownership refused", refused, map[string][]string{"#tone": {"Needs a look"}, "#todo": {"shard 200 is owned"}}},
		{"old save", stale, map[string][]string{"#notes": {"the last durable save is 3 min old"}}},
		{"huge", huge(), map[string][]string{
			"#owned .share": {"unknown"}, "#owned .detail": {"on 989 shards; 11 more are not counted yet"}, "#shown": {"1 to 20 of 10,000"}, "#shards-summary": {"1,000 shards"},
		}},
	}
}

// Hazard 36: N of N shards "ready" while they are empty. Owned shards without
// blobs in them are not done, nor are those that nobody has counted.
func shardsReadyWhileEmpty(t *testing.T, browser context.Context) {
	empties := scanning()
	empties.doc.Counters = recovery.Counters{}
	empties.shards = ownedShards(40, func(int) *float64 { return ptr(0.0) })
	d := startDaemon(t, empties)
	tb := openLive(t, browser, d, view{})
	tb.waitText("#shards-summary", "40 shards: 0 done")
	tb.waitText("#owned .share", "0.0 %")
	tb.waitText("#owned .detail", "0 of 40,000 blobs done")
	if filled := eval[int](tb, `[...document.querySelectorAll("#cells button")].filter((c) => c.style.getPropertyValue("--share") !== "0%").length`); filled > 0 {
		t.Errorf("%d of the empty shards are drawn as filled", filled)
	}
	uncounted := empties
	uncounted.shards = ownedShards(40, func(i int) *float64 {
		if i == 39 {
			return nil
		}
		return ptr(1.0)
	})
	tb.show(d, uncounted)
	tb.waitText("#shards-summary", "39 done", "1 without a count")
	tb.waitText("#owned .share", "unknown")
}

// Hazard 37: a progress figure that restarts at every pass, or moves backwards. A
// figure of a pass is called one, what earlier passes did stays done, and the
// page says why a figure began again.
func testAProgressFigureThatRestartsAtEveryPass(t *testing.T, browser context.Context) {
	first := draining()
	first.list, first.doc.Unsettled = nil, recovery.UnsettledCounts{}
	d := startDaemon(t, first)
	tb := openLive(t, browser, d, view{})
	owned := func() string { return tb.text("#owned .share") }
	tb.waitText("#owned .share", "99.9 %")
	before := owned()
	next := secondPass()
	next.shards = first.shards
	d.tell(next)
	tb.waitText("#pass .share", "3.0 %")
	tb.waitText("#scope", "Pass 2", "figures begin again", "is finished or in the list below, and stays so")
	if after := owned(); after != before {
		t.Errorf("the owned shards fell from %s to %s when a pass began", before, after)
	}
	again := scanning()
	again.doc.Counters.Passes, again.doc.Origin = 2, recovery.Origin{Decision: recovery.Relook, Why: "lineage not proven"}
	d.tell(again)
	tb.waitText("#scope", "Everything is looked at again: lineage not proven")
}

// Hazard 38: counts of failures with no list of which, and no way to retry just
// those.
func failuresAreListed(t *testing.T, browser context.Context) {
	f := incomplete()
	d := startDaemon(t, f)
	tb := openLive(t, browser, d, view{})
	tb.wait(`document.querySelectorAll("#list tr").length === 7`)
	rows := eval[[]string](tb, `[...document.querySelectorAll("#list tr")].map((r) => r.innerText.replaceAll("\n", " ").replaceAll("\t", " ").replace(/ +/g, " "))`)
	for i, u := range f.list {
		want := []string{u.ID[:12], "parked", strings.ReplaceAll(u.Reason, "_", " "), fmt.Sprint(u.Attempts), "in ", "min ago", u.LastError, "RetryExplain"}
		for _, part := range want {
			if !strings.Contains(rows[i], part) {
				t.Errorf("row %d is %q, want %q in it", i, rows[i], part)
			}
		}
	}
	tb.click(`#list tr:nth-child(3) .acts button`)
	tb.waitText("#said", "1 blob due now")
	want := []request{{Path: "retry", Body: fmt.Sprintf(`{"ids":[%q]}`, f.list[2].ID)}}
	if diff := cmp.Diff(want, d.commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	tb.wait(`document.querySelectorAll("#list .badge[data-kind=parked]").length === 6`)
}

// Hazard 39: "no task is running" read as done. Nothing in flight, an empty list
// and a full pass are not complete until the daemon says so, and a daemon that
// does not answer says nothing.
func noTaskIsNotDone(t *testing.T, browser context.Context) {
	idle := complete()
	idle.doc.Phase, idle.doc.Why = "draining", "nothing is unsettled; the last save is not durable yet"
	d := startDaemon(t, idle)
	tb := openLive(t, browser, d, view{expected: []string{"ERR_"}})
	tb.waitText("#pass .share", "99.9 %")
	if says := eval[string](tb, `document.body.innerText`); strings.Contains(says, "100 %") || tb.text("#left") != "unknown" {
		t.Errorf("it reads as done:\n%s", says)
	}
	d.tell(complete())
	tb.waitText("#left", "done")
	d.change(func() { d.down = true })
	tb.waitText("#tone", "Unknown")
	tb.waitText("#phase", "was complete")
	tb.waitText("#left", "unknown")
}

// Hazard 40: a pause that is forgotten at restart. The page takes it from the
// daemon, and says that a restart does not end it.
func pauseIsForgotten(t *testing.T, browser context.Context) {
	d := startDaemon(t, paused())
	tb := openLive(t, browser, d, view{})
	tb.waitText("#todo", "A restart does not resume it")
	restarted := paused()
	restarted.doc.Started = restarted.doc.At
	tb.show(d, restarted)
	tb.waitText("#tone", "Paused")
	tb.waitText("#pause", "Resume")
}

// Hazard 91: ten minutes without peers parked everything for an hour. An outage
// reads as one: held up, nothing parked, and it goes on by itself.
func outageParksAll(t *testing.T, browser context.Context) {
	tb := openLive(t, browser, startDaemon(t, outage()), view{})
	tb.waitText("#held", "no peer can be reached")
	tb.waitText("#todo", "It goes on by itself then")
	tb.waitText("#unsettled-summary", "64 blobs: 64 retrying.")
	if todo := tb.text("#todo"); strings.Contains(todo, "parked") {
		t.Errorf("it blames blobs for the outage: %s", todo)
	}
}

// The spelling of numbers, sizes, times and ids; the reader of the stream.
func spelling(t *testing.T, browser context.Context) {
	tb := openLive(t, browser, startDaemon(t, complete()), view{})
	eval[bool](tb, `Promise.all([import("/page/format.js"), import("/page/live.js")]).then(([f, l]) => { globalThis.f = f; globalThis.l = l; return true; })`)
	for expression, want := range map[string]string{
		`f.count(0)`: "0", `f.count(1234567)`: "1,234,567", `f.count(null)`: "unknown", `f.count(undefined)`: "unknown", `f.count("3")`: "unknown",
		`f.plural(1, "blob")`: "1 blob", `f.plural(2, "blob")`: "2 blobs", `f.plural(0, "copy", "copies")`: "0 copies",
		`f.bytes(0)`: "0 B", `f.bytes(1023)`: "1,023 B", `f.bytes(1024)`: "1.0 KiB", `f.bytes(1536)`: "1.5 KiB", `f.bytes(104857600)`: "100 MiB",
		`f.bytes(1023.9 * 1048576)`: "1.0 GiB", `f.bytes(2 ** 60)`: "1.0 EiB", `f.bytes(null)`: "unknown", `f.bytes(NaN)`: "unknown",
		`f.rate(0)`: "0", `f.rate(0.01)`: "< 0.1", `f.rate(12.5)`: "12.5", `f.rate(1234)`: "1,234",
		`f.duration(0.4)`: "0 s", `f.duration(59)`: "59 s", `f.duration(60)`: "1 min", `f.duration(3599)`: "59 min", `f.duration(12000)`: "3 h 20 min",
		`f.duration(360000)`: "4 d 4 h", `f.duration(undefined)`: "unknown",
		`f.range(720, 1500)`: "12 to 25 min", `f.range(50, 120)`: "50 s to 2 min", `f.range(61, 119)`: "about 1 min", `f.range(null, 5)`: "unknown",
		`f.range(3700, 9000)`: "1 h 1 min to 2 h 30 min", `f.range(3600, 9000)`: "1 h to 2 h 30 min",
		`f.percent(1, 3)`: "33.3 %", `f.percent(1000, 1000)`: "99.9 %", `f.percent(2000, 1000)`: "99.9 %", `f.percent(5, 5, true)`: "100 %",
		`f.percent(1, 0)`: "unknown", `f.percent(null, 5)`: "unknown", `f.percent(-3, 5)`: "0.0 %",
		`f.ago(1000, 13500)`: "12 s ago", `f.ago(null, 5)`: "unknown", `f.until(13500, 1000)`: "in 13 s", `f.until(900, 1000)`: "due now",
		`f.shortID("end")`: "end", `f.shortID("ab".repeat(32))`: "abababababab…abab", `f.words("wrong_bytes")`: "wrong bytes",
		`f.place("none")`: "0", `f.place("end")`: "1", `f.place("80" + "0".repeat(62))`: "0.5", `f.place("rubbish")`: "null", `f.place(null)`: "null",
		`f.clean("a\u202eb\u0007c")`: "a\ufffdb\ufffdc", `f.moment("0001-01-01T00:00:00Z")`: "null", `f.moment("rubbish")`: "null",
		`[0, 1, 2, 3, 4, 5, 99].map((n) => l.delay(n, 0)).join(" ")`: "1000 2000 4000 8000 15000 30000 30000", `l.delay(0, 1)`: "1200",
		`(() => {
			const parser = new l.EventParser();
			const parts = ["retry: 2000\n\n: beat\n\nevent: sta", "tus\r\ndata: {\"a\":\r\ndata: 1}\r\n", "\r\ndata: x\n\n", "data\nevent:y\n\n"];
			return JSON.stringify(parts.flatMap((part) => parser.feed(part)).map((e) => [e.event, e.data]));
		})()`: `[["status","{\"a\":\n1}"],["message","x"],["y",""]]`,
		`(() => { try { new l.EventParser().feed("data: " + "x".repeat(2 ** 21)); } catch (e) { return e.message; } })()`: "an event is larger than it may be",
	} {
		if got := eval[string](tb, "String("+expression+")"); got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
}

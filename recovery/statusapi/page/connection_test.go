package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// unreachable are the complaints of a browser whose server is gone, or refuses.
var unreachable = []string{"ERR_", "503"}

// A connection that is lost is said so, with when the daemon was last seen; what is
// old is grey and claims nothing about now. It comes back by itself.
func connectionIsLost(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	tb := openLive(t, browser, d, view{script: clockScript, expected: unreachable})
	colours := `JSON.stringify([getComputedStyle(document.querySelector("#tone")).color, getComputedStyle(document.querySelector("rect.done")).fill])`
	tb.waitText("#tone", "Fine")
	var live, grey [2]string
	tb.do(json.Unmarshal([]byte(eval[string](tb, colours)), &live))
	tb.waitText("#connection", "Live")
	d.change(func() { d.down = true })
	tb.wait(`document.body.dataset.connection === "lost"`)
	tb.waitText("#connection", "Connection lost, last seen")
	tb.waitText("#tone", "Unknown")
	tb.waitText("#held", "connection lost, last seen")
	tb.waitText("#phase", "was scanning")
	tb.waitText("#left", "unknown")
	tb.waitText("#byte-rate", "unknown")
	tb.waitText("#todo", "See whether the daemon runs")
	tb.waitText("#announce", "Connection lost.")
	if title := eval[string](tb, `document.title`); !strings.HasPrefix(title, "lost") {
		t.Errorf("the title is %q", title)
	}
	tb.do(json.Unmarshal([]byte(eval[string](tb, colours)), &grey))
	for i := range grey {
		if grey[i] == live[i] {
			t.Errorf("what is old has the colour of what is live, %s", grey[i])
		}
	}
	eval[int](tb, `moveClock(12000)`)
	tb.wait(`/last seen (1[2-9]|[2-5]\d) s ago/.test(document.querySelector("#connection").textContent)`)
	tb.wait(`/last seen (1[2-9]|[2-5]\d) s ago/.test(document.querySelector("#held").textContent)`)
	d.change(func() { d.down, d.facts = false, draining() })
	tb.wait(`document.body.dataset.connection === "live"`)
	tb.waitText("#phase", "draining")
	tb.waitText("#tone", "Needs a look")
}

// A press on "Try now" does not wait for the next try.
func connectionIsTriedNow(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	// Its own tries come so late that only the press can be what helped.
	slow := `{ const later = setTimeout; globalThis.setTimeout = (f, ms, ...more) => later(f, ms > 200 && ms < 4000 ? ms * 1000 : ms, ...more); }`
	tb := openLive(t, browser, d, view{script: slow, expected: unreachable})
	d.change(func() { d.down = true })
	tb.wait(`document.body.dataset.connection === "lost"`)
	d.change(func() { d.down = false })
	tb.click("#reconnect")
	tb.wait(`document.body.dataset.connection === "live"`)
}

// Without a stream the page asks for the status, and says that it does.
func streamIsRefused(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	d.noEvents = true
	fast := `{ const later = setTimeout; globalThis.setTimeout = (f, ms, ...more) => later(f, ms > 900 && ms <= 3000 ? ms / 10 : ms, ...more); }`
	tb := open(t, browser, d, view{script: fast, expected: unreachable})
	tb.wait(`document.body.dataset.connection === "asking"`)
	tb.waitText("#connection", "No live updates; asking every 3 s")
	tb.waitText("#phase", "scanning")
	d.tell(complete())
	tb.waitText("#phase", "complete")
	d.change(func() { d.noEvents = false })
	tb.wait(`document.body.dataset.connection === "live"`)
}

// A stream on which nothing comes, not even a heartbeat, is a dead connection.
func streamFallsSilent(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	fast := `{ const later = setTimeout; globalThis.setTimeout = (f, ms, ...more) => later(f, ms > 20000 ? ms / 50 : ms, ...more); }`
	tb := openLive(t, browser, d, view{script: fast})
	eval[bool](tb, `(() => {
		globalThis.modes = [];
		new MutationObserver(() => modes.push(document.body.dataset.connection)).observe(document.body, { attributeFilter: ["data-connection"] });
		return true;
	})()`)
	tb.wait(`modes.includes("asking") && modes.at(-1) === "live"`) // it asked, and opened another stream
}

// A hidden page holds no stream, and is up to date as soon as it is looked at.
func pageIsHidden(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	hide := `{ let hidden = false; Object.defineProperty(document, "hidden", { get: () => hidden });
		globalThis.hide = (yes) => { hidden = yes; document.dispatchEvent(new Event("visibilitychange")); }; }`
	tb := openLive(t, browser, d, view{script: hide})
	eval[any](tb, `hide(true)`)
	d.waitStreams(t, 0)
	d.tell(complete())
	eval[any](tb, `hide(false)`)
	tb.wait(`document.body.dataset.connection === "live"`)
	tb.waitText("#phase", "complete")
	d.waitStreams(t, 1)
}

// A daemon that knows less than this page, or does not offer all, is shown as far
// as it goes.
func daemonKnowsLess(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	d.plain = []byte(`{"version": "0.9", "running": true, "phase": "hibernating", "why": "it is winter", "blocked": "", "paused": false, "trouble": "",
		"ownership": null, "run": 0, "covered": null, "bound": null, "newest": null, "cursor": "none", "cursor_durable": null, "scan": "none",
		"counters": {}, "unsettled": {"total": 0}, "peers_reachable": 0, "peers_total": 0, "peers": null}`)
	tb := openLive(t, browser, d, view{expected: []string{"404"}})
	tb.waitText("#phase", "hibernating")
	tb.waitText("#means", "newer than the page")
	tb.waitText("#left", "unknown")
	tb.waitText("#list-none", "The list is unknown")
	tb.waitText("#history-none", "The history is unknown")
	tb.waitText("#shards-summary", "Unknown: ")
	tb.waitText("#checkpoint", "unknown")
	tb.waitText("#counters", "Fetchedunknown")
	if says := eval[string](tb, `document.body.innerText`); strings.Contains(says, "undefined") || strings.Contains(says, "NaN") || strings.Contains(says, "100 %") {
		t.Errorf("it says:\n%s", says)
	}
}

// An answer that is no status is not shown as one.
func answerIsNoStatus(t *testing.T, browser context.Context) {
	d := startDaemon(t, complete())
	tb := openLive(t, browser, d, view{expected: unreachable})
	for _, plain := range []string{`{"error": "no"}`, `[]`, `null`, `{"phase": `, `"complete"`} {
		d.change(func() { d.plain = []byte(plain) })
		d.dropStreams()
		tb.wait(`document.body.dataset.connection === "lost" && ["the answer is not a status", "the answer cannot be read"].includes(document.querySelector("#connection").title)`)
		tb.waitText("#tone", "Unknown")
		d.change(func() { d.plain = nil })
		eval[any](tb, `document.querySelector("#reconnect").click()`) // it may have come back by itself, and the button be gone
		tb.wait(`document.body.dataset.connection === "live"`)
	}
}

// Times are told in the reader's zone, and the title has the exact value; how long
// ago is told by the daemon's clock, not by the reader's.
func timesAreLocal(t *testing.T, browser context.Context) {
	f := scanning()
	year := f.doc.At.Year()
	f.doc.At = f.doc.At.AddDate(5, 0, 0) // a daemon whose clock is far off
	f.doc.Checkpoint.SavedAt = f.doc.At.Add(-90e9)
	d := startDaemon(t, f)
	tb := open(t, browser, d, view{script: clockScript})
	tb.do(call(tb.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"}))
	tb.show(d, f)
	tb.waitText("#checkpoint", "1 min ago")
	eval[int](tb, `moveClock(60000)`)
	tb.waitText("#checkpoint", "2 min ago")
	want := f.doc.At.UTC().Add(9 * 3600e9).Format("15:04:")
	tb.waitText("#as-of", "as of "+want)
	title := eval[string](tb, `document.querySelector("#as-of").title`)
	if !strings.Contains(title, "GMT+9") || !strings.Contains(title, f.doc.At.UTC().Format("2006-01-02T15:04:")) || !strings.Contains(title, fmt.Sprint(year+5)) {
		t.Errorf("the title is %q, want the zone and the exact time", title)
	}
}

package page_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// hostile returns facts in which every text is evil; each holds its own name, so
// that one that is not shown is noticed.
func hostile(evil func(where string) string) facts {
	f := draining()
	d := &f.doc
	d.Version, d.Why, d.Blocked, d.Trouble = evil("version"), evil("why"), evil("blocked"), evil("trouble")
	d.OwnershipTrouble, d.CatalogTrouble = evil("ownership_trouble"), evil("catalog_trouble")
	own := *d.Ownership
	own.Continuity = evil("continuity")
	d.Ownership = &own
	bound := *d.Bound
	bound.Network = evil("network")
	d.Newest, d.Bound, d.Covered = &bound, &bound, nil
	d.Counters.Passes, d.Origin = 1, recovery.Origin{Decision: recovery.Relook, Why: evil("origin")}
	d.Peers = []statusapi.PeerView{{Name: evil("peer"), State: evil("peer_state"), Why: evil("peer_why"), WrongBytes: 3, LastError: evil("peer_error"), LastErrorAt: d.At}}
	d.Store = &statusapi.StoreView{Root: evil("root"), Layout: evil("layout"), Identity: evil("identity"), Durability: evil("durability")}
	d.Checkpoint = &statusapi.CheckpointView{Path: evil("path"), Source: evil("source"), Note: evil("note"), Cursor: *d.CursorDurable, SavedAt: d.At}
	f.list = f.list[:1]
	f.list[0].ID, f.list[0].Reason, f.list[0].LastError = evil("id"), evil("reason"), evil("last_error")
	d.Unsettled = counted(f.list)
	f.history = []runEvent{{At: d.At, Run: 1, Decision: evil("decision"), Why: evil("history"), From: evil("from")}}
	f.blobs = map[string]explanation{f.list[0].ID: {
		"id": evil("x_id"), "at": d.At, "certified": nil, "certified_error": evil("certified_error"), "row": map[string]any{"encoding": evil("encoding")},
		"state": evil("x_state"), "why": evil("x_why"), "entry": map[string]any{"state": evil("entry"), "reason": evil("entry_reason"), "last_error": evil("entry_error")},
		"shards": []any{}, "liars": []string{evil("liar")},
		"tries": []any{map[string]any{
			"outcome": evil("outcome"), "reason": evil("try_reason"), "err": evil("try_err"),
			"peers": []any{map[string]any{"peer": evil("try_peer"), "reason": evil("answer"), "err": evil("answer_err")}},
		}},
	}}
	return f
}

// Whatever peers, paths and errors are called, it stays text.
func textStaysText(t *testing.T, browser context.Context) {
	var names []string
	evil := func(where string) string {
		names = append(names, where)
		return fmt.Sprintf(`<img src=x onerror="evil()"><script>evil()</script>"'><svg onload=evil()>%s-%d</title></style>`, where, len(names))
	}
	f := hostile(evil)
	d := startDaemon(t, f)
	tb := openLive(t, browser, d, view{script: `globalThis.evils = 0; globalThis.evil = () => evils++;`})
	tb.click("#list tr .acts button:last-child")
	tb.waitText("#explain-id", "x_id-")
	text := eval[string](tb, `document.documentElement.textContent + [...document.querySelectorAll("[title]")].map((e) => e.title).join("\n")`)
	for i, name := range names {
		if mark := fmt.Sprintf("%s-%d", strings.ReplaceAll(name, "_", " "), i+1); !strings.Contains(strings.ReplaceAll(text, "_", " "), mark) {
			t.Errorf("%s is nowhere to be read", name)
		}
	}
	found := eval[[]string](tb, `[...document.querySelectorAll("img, iframe, script:not([src]), svg[onload], [onerror], body style, a[href^='javascript']")].map((e) => e.outerHTML)`)
	if len(found) > 0 {
		t.Errorf("texts became elements: %q", found)
	}
	if ran := eval[int](tb, `evils`); ran > 0 {
		t.Errorf("a text ran %d times", ran)
	}
}

// Texts that are long, empty or full of control characters leave the page in shape.
func textIsLongOrOdd(t *testing.T, browser context.Context) {
	for name, evil := range map[string]func(string) string{
		"long": func(string) string { return strings.Repeat("W", 3_000) },
		"odd":  func(string) string { return "a\u202eb\u0000c\u001b[31m\u2066d\r\ne" },
		"foreign": func(string) string {
			return "データが見つかりません — لا يوجد ملف — \U0001f9ea"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, hostile(evil))
			tb := openLive(t, browser, d, view{width: 360, height: 780})
			for _, width := range []int64{360, 1600} {
				tb.resize(width, 900)
				tb.wait(fmt.Sprintf("innerWidth === %d", width))
				if over := eval[int](tb, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					t.Errorf("at %d px the page is %d px wider than the window", width, over)
				}
			}
			if left := eval[int](tb, `(document.body.textContent.match(/[\u0000-\u0008\u001b\u202e\u2066]/g) ?? []).length`); left > 0 {
				t.Errorf("%d control characters are shown as such", left)
			}
		})
	}
}

// The checks of every test hear what they should: without this, silence would
// prove nothing.
func complaintsAreHeard(t *testing.T, browser context.Context) {
	d := startDaemon(t, complete())
	tb := openLive(t, browser, d, view{})
	for _, tc := range []struct{ script, complaint string }{
		{`console.error("loud")`, "loud"},
		{`setTimeout(() => { throw new Error("thrown") })`, "thrown"},
		{`document.body.setAttribute("style", "color: red")`, "inline style"},
		{`document.head.append(Object.assign(document.createElement("script"), { src: "http://127.0.0.1:1/x.js" }))`, "TrustedScriptURL"},
		{`document.body.innerHTML = "<b>x</b>"`, "TrustedHTML"},
		{`fetch("http://127.0.0.1:1/").catch(() => 0)`, "Connect"},
		{`Object.assign(document.createElement("img"), { src: "http://127.0.0.1:1/x.png" })`, "Loading the image"},
		{`fetch("/nowhere")`, "404"},
	} {
		eval[bool](tb, fmt.Sprintf(`(() => { try { %s } catch (e) { console.error(String(e)); } return true; })()`, tc.script))
		tb.hears(tc.complaint)
	}
}

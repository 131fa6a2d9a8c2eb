package page_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

const rightToken = "Zm9yIHRlc3RzIG9ubHksIGFuZCBub3QgYSBzZWNyZXQ"

// refused are the complaints of a browser whose command was refused.
var refused = []string{"401", "403"}

// checkCommands compares what arrived.
func checkCommands(t *testing.T, d *daemon, want ...request) {
	t.Helper()
	if diff := cmp.Diff(want, d.commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

// The token is asked for once, kept for the tab, asked for again when it is
// refused, and never part of an address.
func tokenIsAskedFor(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	d.token = rightToken
	tb := openLive(t, browser, d, view{expected: refused})
	tb.click("#pause")
	tb.wait(`document.querySelector("#token").open`)
	tb.waitText("#token-path", "/var/lib/recoverd/token")
	if kind := eval[string](tb, `document.activeElement.id + " " + document.activeElement.type`); kind != "token-value password" {
		t.Errorf("the focus is on %s", kind)
	}
	tb.keys("no token\r")
	tb.waitText("#token-refused", "This is not a token")
	tb.look("token-1600-light")
	tb.do(chromedp.Do(tb.ctx, chromedp.SetValue(chromedp.ID("token-value"), "wrong")))
	tb.keys("\r")
	tb.waitText("#token-refused", "Refused: that is not the token.")
	tb.keys(rightToken + "\r")
	tb.wait(`!document.querySelector("#token").open`)
	tb.waitText("#said", "Paused. Nothing new is handed out")
	tb.waitText("#tone", "Paused")
	tb.waitText("#pause", "Resume")
	tb.click("#pause")
	tb.waitText("#said", "Resumed.")
	tb.waitText("#pause", "Pause")
	bearer := "Bearer " + rightToken
	checkCommands(t, d, request{"pause", "{}", ""}, request{"pause", "{}", "Bearer wrong"}, request{"pause", "{}", bearer}, request{"resume", "{}", bearer})
	kept := eval[[]string](tb, `[Object.values(sessionStorage).join(), Object.values(localStorage).join(), document.cookie, location.href, document.documentElement.outerHTML]`)
	if kept[0] != rightToken {
		t.Errorf("sessionStorage has %q", kept[0])
	}
	for _, place := range append(kept[1:], eval[[]string](tb, `performance.getEntriesByType("resource").map((r) => r.name)`)...) {
		if strings.Contains(place, rightToken) {
			t.Errorf("the token is in %.200q", place)
		}
	}
	d.change(func() { d.token = rightToken + "2" }) // the daemon was started again
	tb.click("#pause")
	tb.wait(`document.querySelector("#token").open`)
	tb.waitText("#token-refused", "Refused")
	tb.keys(kb.Escape)
	tb.waitText("#said", "Nothing was done: no token was given.")
	if left := eval[string](tb, `Object.values(sessionStorage).join()`); left != "" {
		t.Errorf("a refused token is kept: %q", left)
	}
}

// Retry one, retry all, and what the daemon answers to each.
func retryIsSent(t *testing.T, browser context.Context) {
	f := draining()
	d := startDaemon(t, f)
	tb := openLive(t, browser, d, view{})
	tb.click("#retry-all")
	tb.waitText("#said", "Retry: 23 blobs due now, 8 are being worked on already.")
	tb.wait(`document.querySelectorAll("#list .badge[data-kind=parked]").length === 0`)
	id := f.list[0].ID
	gone := d.now()
	gone.list = f.list[1:]
	tb.click(fmt.Sprintf("#list tr[data-key=%q] .acts button", id))
	tb.waitText("#said", "1 blob due now")
	d.tell(gone)
	tb.click(fmt.Sprintf("#list tr[data-key=%q] .acts button", id))
	tb.waitText("#said", "0 blobs due now, 1 is no longer in the list")
	one := request{Path: "retry", Body: fmt.Sprintf(`{"ids":[%q]}`, id)}
	checkCommands(t, d, request{Path: "retry", Body: `{"all":true}`}, one, one)
}

// What the daemon refuses is said in its words, and changes nothing.
func commandIsRefused(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	d.refusal = "the worker has ended"
	tb := openLive(t, browser, d, view{expected: []string{"503", "ERR_"}})
	tb.click("#pause")
	tb.waitText("#said", "Refused: the worker has ended.")
	tb.waitText("#pause", "Pause")
	d.change(func() { d.down = true })
	tb.wait(`document.body.dataset.connection === "lost"`)
	tb.click("#pause")
	tb.waitText("#said", "Refused: the daemon cannot be reached.")
}

// Explain opens a panel with all that is known about one blob, from its row or by
// its id, and a retry from there.
func blobIsExplained(t *testing.T, browser context.Context) {
	f := draining()
	d := startDaemon(t, f)
	tb := openLive(t, browser, d, view{expected: []string{"400"}})
	tb.click("#list tr:first-child .acts button:last-child")
	tb.wait(`document.querySelector("#explain").open`)
	tb.waitText("#explain-id", f.list[0].ID)
	tb.waitText("#explain-state", "parked")
	tb.waitText("#explain-why", "no reachable peer has it")
	tb.waitText("#explain-facts", "yes, asked at position 1,204,551, epoch 7", "4.0 KiB", "from epoch 3 until epoch 90", "archive.example", "12 attempts, 10 of them", "min ago")
	tb.waitText("#explain-shards", "Shard 17: not stored", "Shard 71: not owned here")
	tb.waitText("#explain-tries-note", "Newest first, at most 16; of this process only")
	tries := eval[[]string](tb, `[...document.querySelectorAll("#explain-tries > li")].map((li) => li.textContent)`)
	if len(tries) != 2 || !strings.Contains(tries[0], "cancelled absent: no peer has it") || !strings.Contains(tries[1], "archive.example/v2/app/blobs: wrong bytes: digest differs") {
		t.Errorf("tries are %q", tries)
	}
	tb.look("explain-1600-light")
	tb.click("#explain-retry")
	tb.waitText("#explain-said", "1 blob due now")
	tb.click("#explain-close")
	tb.do(chromedp.Do(tb.ctx, chromedp.SetValue(chromedp.ID("lookup-id"), " rubbish ")))
	tb.click("#lookup button")
	tb.waitText("#explain-why", "this is not a blob id")
	tb.waitText("#explain-state", "unknown")
	checkCommands(t, d, request{Path: "retry", Body: fmt.Sprintf(`{"ids":[%q]}`, f.list[0].ID)})
}

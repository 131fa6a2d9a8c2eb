package page_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// axNode is what a screen reader is told of an element.
type axNode struct{ role, name, level string }

// tree returns the browser's accessibility tree, in reading order.
func (tb *tab) tree() (nodes []axNode) {
	tb.t.Helper()
	result, err := chromedp.Call(tb.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	tb.do(err)
	text := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		return strings.Trim(string(v.Value), `"`)
	}
	for _, n := range result.Nodes {
		if n.Ignored {
			continue
		}
		node := axNode{role: text(n.Role), name: text(n.Name)}
		for _, p := range n.Properties {
			if p.Name == accessibility.PropertyNameLevel {
				node.level = text(p.Value)
			}
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// Every control has a name, headings are in order, and the page has its landmarks.
func accessibilityTree(t *testing.T, browser context.Context) {
	d := startDaemon(t, draining())
	tb := openLive(t, browser, d, view{})
	tb.do(call(tb.ctx, accessibility.Enable, cdp.Empty{}))
	for _, width := range []int64{1600, 360} {
		tb.resize(width, 900)
		tb.wait(fmt.Sprintf("innerWidth === %d", width))
		nodes := tb.tree()
		checkNames(t, nodes, 0)
		if got := count(nodes, "cell"); got < 20*9 && width == 1600 || got < 8*9 {
			t.Errorf("at %d px there are %d cells in the tables", width, got)
		}
		for role, n := range map[string]int{"banner": 1, "main": 1, "contentinfo": 1, "table": 3, "region": 12} {
			if got := count(nodes, role); got != n {
				t.Errorf("at %d px there are %d of %s, want %d", width, got, role, n)
			}
		}
	}
	if bare := eval[[]string](tb, `[...document.querySelectorAll("input, select")].filter((e) => e.labels.length === 0).map((e) => e.id)`); len(bare) > 0 {
		t.Errorf("without a label: %q", bare)
	}
	tb.click("#list tr:first-child .acts button:last-child")
	tb.waitText("#explain-state", "parked")
	tb.look("explain-360-light")
	nodes := tb.tree()
	checkNames(t, nodes, 1) // behind the panel nothing is to be read, the page's heading neither
	if at := slices.IndexFunc(nodes, func(n axNode) bool { return n.role == "dialog" && strings.HasPrefix(n.name, "Blob ") }); at < 0 {
		t.Errorf("the panel is not a dialog with a name")
	}
}

func count(nodes []axNode, role string) (n int) {
	for _, node := range nodes {
		if node.role == role {
			n++
		}
	}
	return n
}

// checkNames wants a name on every control, and no heading more than one level below
// the one before it; above is the level that the first one stands below.
func checkNames(t *testing.T, nodes []axNode, above int) {
	t.Helper()
	named := []string{"button", "link", "textbox", "combobox", "table", "dialog", "image", "region", "group", "heading", "RootWebArea"}
	last, first := above, 0
	for _, n := range nodes {
		if slices.Contains(named, n.role) && n.name == "" {
			t.Errorf("a %s has no name", n.role)
		}
		if n.role != "heading" {
			continue
		}
		level := int(n.level[0] - '0')
		if level > last+1 {
			t.Errorf("heading %q of level %d follows one of level %d", n.name, level, last)
		}
		if last = level; level == 1 {
			first++
		}
	}
	if first > 1 {
		t.Errorf("%d headings of level 1", first)
	}
}

// All can be done without a mouse, in the order of the page, and the focus is seen
// and comes back from a dialog.
func keyboardOnly(t *testing.T, browser context.Context) {
	d := startDaemon(t, draining())
	tb := openLive(t, browser, d, view{expected: refused})
	focus := `(() => { const e = document.activeElement; return e.id || e.getAttribute("aria-label") || e.textContent; })()`
	var path []string
	for range 8 {
		tb.keys(kb.Tab)
		path = append(path, eval[string](tb, focus))
		if outline := eval[string](tb, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
			t.Errorf("the focus on %s is not seen", path[len(path)-1])
		}
	}
	id := d.now().list[0].ID
	short := id[:12] + "…" + id[60:]
	want := []string{"pause", "Shard 0: 1,000 of 1,000 blobs done (100 %); nothing unsettled", "filter", "retry-all", "lookup-id", "Explain", "Retry " + short, "Explain " + short}
	if diff := cmp.Diff(want, path); diff != "" {
		t.Fatalf("the path of Tab (-want +got):\n%s", diff)
	}
	tb.keys(kb.Enter)
	tb.wait(`document.querySelector("#explain").open && document.activeElement.id === "explain-close"`)
	tb.waitText("#explain-state", "parked")
	tb.keys(kb.Escape)
	tb.wait(`!document.querySelector("#explain").open`)
	if back := eval[string](tb, focus); back != "Explain "+short {
		t.Errorf("after the panel the focus is on %q", back)
	}
	eval[any](tb, `document.querySelector("#cells button").focus()`)
	across := eval[int](tb, `[...document.querySelectorAll("#cells button")].filter((c) => c.offsetTop === document.querySelector("#cells button").offsetTop).length`)
	for _, move := range []struct {
		key  string
		want int
	}{
		{kb.ArrowRight, 1}, {kb.ArrowDown, 1 + across}, {kb.ArrowLeft, across}, {kb.ArrowUp, 0}, {kb.ArrowLeft, 0}, {kb.End, 39}, {kb.ArrowRight, 39}, {kb.Home, 0},
	} {
		tb.keys(move.key)
		label := fmt.Sprintf("Shard %d:", move.want)
		if got := eval[string](tb, focus); !strings.HasPrefix(got, label) {
			t.Fatalf("an arrow led to %q, want %q", got, label)
		}
		tb.waitText("#shard-detail", label)
	}
	tb.keys(kb.Tab + kb.Tab + kb.Enter)
	tb.waitText("#said", "23 blobs due now")
}

// Only changes of the phase, of the connection, and answers to a press are read out:
// numbers that change all the time are not.
func onlyChangesAreReadOut(t *testing.T, browser context.Context) {
	d := startDaemon(t, scanning())
	tb := openLive(t, browser, d, view{})
	eval[bool](tb, `(() => {
		globalThis.spoken = [];
		const read = () => [...document.querySelectorAll("[role=status], [role=alert], [aria-live]")].map((e) => e.textContent).filter(Boolean);
		new MutationObserver(() => spoken.push(...read())).observe(document.querySelector("#announce"), { childList: true, characterData: true, subtree: true });
		return true;
	})()`)
	for i := range 3 {
		d.edit(func(doc *document) { doc.Counters.Looked += 1_000; doc.BytesPerSecond += 1 << 20 })
		tb.waitText("#pass .detail", fmt.Sprintf("%d,440", 735+i))
	}
	d.edit(func(doc *document) { doc.Phase, doc.Why = "draining", "every id was handed out; 48 unsettled" })
	tb.waitText("#announce", "Now draining. every id was handed out; 48 unsettled")
	if diff := cmp.Diff([]string{"Now draining. every id was handed out; 48 unsettled"}, eval[[]string](tb, `spoken`)); diff != "" {
		t.Errorf("read out (-want +got):\n%s", diff)
	}
	if live := eval[int](tb, `document.querySelectorAll("main [aria-live], main [role=status], main [role=alert], main [role=log], main [role=timer]").length`); live > 0 {
		t.Errorf("%d parts of the page are read out whenever they change", live)
	}
}

// contrasts lists the texts whose contrast with their ground is below 4.5.
const contrasts = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const grounds = (e) => {
		for (let at = e; at; at = at.parentElement) {
			const style = getComputedStyle(at);
			const image = style.backgroundImage.match(/(?:rgba?|color|oklab)\([^)]*\)/g);
			if (image) return image.map(rgba);
			const colour = rgba(style.backgroundColor);
			if (colour[3] === 255) return [colour];
		}
		return [[255, 255, 255]];
	};
	const bad = [];
	let seen = 0;
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== "");
		const style = getComputedStyle(e);
		if (!own || e.getClientRects().length === 0 || style.visibility === "hidden" || style.fontSize === "0px" || e.disabled || e.classList.contains("unseen")) continue;
		seen++;
		const ink = light(rgba(e.namespaceURI.endsWith("svg") ? style.fill : style.color));
		for (const ground of grounds(e).map(light)) {
			const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
			if (contrast < 4.5) bad.push(contrast.toFixed(2) + ": " + e.tagName + "#" + e.id + "." + e.className + " " + e.textContent.slice(0, 40));
		}
	}
	if (seen < 100) bad.push("only " + seen + " texts were looked at");
	return [...new Set(bad)];
})()`

// Every text can be read, in light, in dark, and when it is old.
func contrastIsEnough(t *testing.T, browser context.Context) {
	d := startDaemon(t, draining())
	tb := openLive(t, browser, d, view{expected: unreachable})
	check := func(what string) {
		t.Helper()
		for _, bad := range eval[[]string](tb, contrasts) {
			t.Errorf("%s: contrast %s", what, bad)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		tb.media(scheme)
		for _, f := range []facts{huge(), halted()} {
			tb.show(d, f)
			check(scheme + ", " + f.doc.Phase)
		}
	}
	d.change(func() { d.down = true })
	for _, scheme := range []string{"dark", "light"} {
		tb.media(scheme)
		tb.wait(`document.body.dataset.connection === "lost"`)
		check(scheme + ", lost")
		tb.look("lost-1600-" + scheme)
	}
}

// The two schemes differ, and nothing moves for those who want it so.
func mediaAreFollowed(t *testing.T, browser context.Context) {
	tb := openLive(t, browser, startDaemon(t, draining()), view{})
	ground := `getComputedStyle(document.body).backgroundColor`
	light := eval[string](tb, ground)
	moves := `getComputedStyle(document.querySelector(".gauge rect")).transitionDuration`
	if still := eval[string](tb, moves); still == "0s" {
		t.Errorf("the test looks for motion at the wrong place: %s", still)
	}
	tb.media("dark", &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
	if dark := eval[string](tb, ground); dark == light {
		t.Errorf("light and dark have the same ground, %s", dark)
	}
	if moving := eval[string](tb, moves); moving != "0s" {
		t.Errorf("it moves for %s where motion is not wanted", moving)
	}
}

// Nothing moves under the reader's hand: neither while the page fills, nor when
// its numbers change.
func layoutStaysPut(t *testing.T, browser context.Context) {
	f := draining()
	d := startDaemon(t, f)
	watch := `{ globalThis.shifts = []; new PerformanceObserver((list) => {
		for (const s of list.getEntries()) shifts.push([s.value, s.sources.map((x) => x.node?.id || x.node?.className || x.node?.nodeName).join()]);
	}).observe({ type: "layout-shift", buffered: true }); }`
	tb := openLive(t, browser, d, view{script: watch})
	for i := range 6 {
		d.edit(func(doc *document) {
			doc.At = doc.At.Add(7e9)
			doc.Counters.Looked -= uint64(700_000 / (i + 1))
			doc.Counters.Stored += 12_345
			doc.Counters.StoredBytes += 17 << (10 + 5*i)
			doc.BytesPerSecond, doc.BlobsPerSecond = float64(int64(3)<<(6*i)), float64(int(1)<<(4*i))
			doc.BytesInFlight = int64(5) << (6 * i)
			doc.Peers = slices.Clone(doc.Peers)
			doc.Peers[0].BytesPerSecond = float64(int64(7) << (5 * i))
			doc.Peers[0].Absent += 1_000
		})
		tb.waitText("#counters", strings.ReplaceAll(fmt.Sprintf("%d,%03d", (96_101+12_345*(i+1))/1000, (96_101+12_345*(i+1))%1000), " ", ""))
	}
	var total float64
	shifts := eval[[][]any](tb, `shifts`)
	for _, s := range shifts {
		total += s[0].(float64)
	}
	if total > 0.01 {
		t.Errorf("the layout shifted by %.4f: %v", total, shifts)
	}
}

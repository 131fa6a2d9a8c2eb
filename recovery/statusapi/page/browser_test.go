package page_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// requireServers is set where a missing browser is a failure and not a skip.
const requireServers = "RECOVERD_REQUIRE_SERVERS"

// screenshots names a directory for pictures of the page; none are taken without.
const screenshots = "RECOVERD_TEST_SCREENSHOTS"

// patience is how long anything in the browser may take before a test gives up;
// nothing waits that long when it works.
const patience = time.Minute

// The page in a real browser, against a daemon whose facts a test sets.
func TestServersPage(t *testing.T) {
	browser := startBrowser(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"states", states},
		{"N of N shards ready while they are empty", shardsReadyWhileEmpty},
		{"progress moves backwards", testAProgressFigureThatRestartsAtEveryPass},
		{"counts of failures with no list", failuresAreListed},
		{"no task is running read as done", noTaskIsNotDone},
		{"a pause that is forgotten", pauseIsForgotten},
		{"outage parks all", outageParksAll},
		{"spelling", spelling},
		{"times are local", timesAreLocal},
		{"the connection is lost", connectionIsLost},
		{"the connection is tried now", connectionIsTriedNow},
		{"the stream is refused", streamIsRefused},
		{"the stream falls silent", streamFallsSilent},
		{"the page is hidden", pageIsHidden},
		{"the daemon knows less", daemonKnowsLess},
		{"the answer is no status", answerIsNoStatus},
		{"the token is asked for", tokenIsAskedFor},
		{"retry is sent", retryIsSent},
		{"a command is refused", commandIsRefused},
		{"a blob is explained", blobIsExplained},
		{"looks", looks},
		{"the accessibility tree", accessibilityTree},
		{"keyboard only", keyboardOnly},
		{"only changes are read out", onlyChangesAreReadOut},
		{"contrast is enough", contrastIsEnough},
		{"media are followed", mediaAreFollowed},
		{"the layout stays put", layoutStaysPut},
		{"text stays text", textStaysText},
		{"text is long or odd", textIsLongOrOdd},
		{"complaints are heard", complaintsAreHeard},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, browser)
		})
	}
}

// startBrowser runs a Chromium of its own until the test ends, and returns a
// context for its tabs. It takes half a minute, so that it wants to be asked for: by
// name, as make servers does, or by a variable.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	if flag.Lookup("test.run").Value.String() == "" && os.Getenv(requireServers) == "" && os.Getenv(screenshots) == "" {
		t.Skip("nobody asked for the browser; make servers does")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv(requireServers) != "" {
			t.Fatalf("chromium is not installed, and %s is set", requireServers)
		}
		t.Skip("chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...) // it ends after the test's own context
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closeBrowser()
		stop()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return browser
}

// tab is a page of one daemon in a browser.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string

	mu       sync.Mutex
	problems []string // what the browser complained about, or asked elsewhere
	expected []string // parts of complaints that belong to the test

	complained chan struct{} // holds one after a complaint
}

// view says how a page is looked at.
type view struct {
	width, height int64
	dark          bool
	script        string // runs before the page's own scripts
	expected      []string
}

// open shows a daemon's page. When the test ends, any complaint of the browser
// fails it: an error in the console, a violation of the policy, a request to
// elsewhere.
func open(t *testing.T, browser context.Context, d *daemon, v view) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	tb := &tab{t: t, ctx: ctx, origin: d.server.URL, expected: v.expected, complained: make(chan struct{}, 1)}
	t.Cleanup(func() {
		closeTab()
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, p := range tb.problems {
			t.Errorf("the browser complains: %s", p)
		}
	})
	if v.width == 0 {
		v.width, v.height = 1600, 1000
	}
	scheme := "light"
	if v.dark {
		scheme = "dark"
	}
	tb.do(chromedp.Do(ctx)) // opens the tab
	tb.do(chromedp.Listen(ctx, tb.hear))
	tb.do(call(ctx, log.Enable, cdp.Empty{}))
	tb.resize(v.width, v.height)
	tb.media(scheme)
	if v.script != "" {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: v.script})
		tb.do(err)
	}
	tb.do(chromedp.Do(ctx, chromedp.Navigate(d.server.URL+"/")))
	return tb
}

// openLive is open, and waits for the first status.
func openLive(t *testing.T, browser context.Context, d *daemon, v view) *tab {
	t.Helper()
	tb := open(t, browser, d, v)
	tb.live()
	return tb
}

// resize sets the window's size in CSS pixels.
func (tb *tab) resize(width, height int64) {
	tb.t.Helper()
	tb.do(call(tb.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}))
}

// media sets what the reader prefers.
func (tb *tab) media(scheme string, more ...*emulation.MediaFeature) {
	tb.t.Helper()
	features := append(more, &emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme})
	tb.do(call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}))
}

// in is the same page for a subtest.
func (tb *tab) in(t *testing.T) *tab {
	return &tab{t: t, ctx: tb.ctx, origin: tb.origin}
}

// show loads the page again with other facts.
func (tb *tab) show(d *daemon, f facts) {
	tb.t.Helper()
	d.tell(f)
	tb.do(chromedp.Do(tb.ctx, chromedp.Reload()))
	tb.live()
}

// live waits until everything is there.
func (tb *tab) live() {
	tb.t.Helper()
	tb.wait(`document.body?.dataset.connection === "live" && document.body.dataset.ready === "yes"`)
}

func call[P, R any](ctx context.Context, command cdp.Command[P, R], params P) error {
	_, err := chromedp.Call(ctx, command, params)
	return err
}

func (tb *tab) do(err error) {
	tb.t.Helper()
	if err != nil {
		tb.t.Fatal(err)
	}
}

// hear notes what must not happen.
func (tb *tab) hear(event any) {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning || e.Entry.Source == log.EntrySourceSecurity {
			tb.complain(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			body, _ := json.Marshal(e.Args)
			tb.complain(fmt.Sprintf("console: %s", body))
		}
	case *runtime.EventExceptionThrown:
		body, _ := json.Marshal(e.ExceptionDetails)
		tb.complain(fmt.Sprintf("exception: %s", body))
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, tb.origin+"/") && !strings.HasPrefix(url, "data:image/") {
			tb.complain("it asked " + url)
		}
	}
}

func (tb *tab) complain(text string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if !slices.ContainsFunc(tb.expected, func(part string) bool { return strings.Contains(text, part) }) {
		tb.problems = append(tb.problems, text)
		select {
		case tb.complained <- struct{}{}:
		default:
		}
	}
}

// hears waits until there is a complaint with a part, and forgets all of them.
func (tb *tab) hears(part string) {
	tb.t.Helper()
	giveUp := time.After(patience)
	for {
		tb.mu.Lock()
		heard := slices.ContainsFunc(tb.problems, func(p string) bool { return strings.Contains(p, part) })
		if heard {
			tb.problems = nil
		}
		tb.mu.Unlock()
		if heard {
			return
		}
		select {
		case <-tb.complained:
		case <-giveUp:
			tb.t.Fatalf("nothing complains of %q", part)
		}
	}
}

// eval runs an expression, which may be a promise, and returns its value.
func eval[T any](tb *tab, expression string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait returns once an expression is true.
func (tb *tab) wait(condition string) {
	tb.t.Helper()
	script := fmt.Sprintf(`(async () => {
		const end = performance.now() + %d;
		while (!(%s)) {
			if (performance.now() > end) return false;
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		return true;
	})()`, (patience / 2).Milliseconds(), condition)
	if !eval[bool](tb, script) {
		tb.t.Fatalf("this never came true: %s\nThe page says:\n%s", condition, eval[string](tb, `document.body.innerText`))
	}
}

// waitText waits until an element's text contains all parts.
func (tb *tab) waitText(selector string, parts ...string) {
	tb.t.Helper()
	for _, part := range parts {
		tb.wait(fmt.Sprintf("document.querySelector(%q).textContent.includes(%q)", selector, part))
	}
}

// text returns what an element says.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return eval[string](tb, fmt.Sprintf("document.querySelector(%q).textContent", selector))
}

// click presses an element as a person with a mouse would: it must be there to be
// hit.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	tb.do(chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible)))
}

// keys types into whatever has the focus.
func (tb *tab) keys(text string) {
	tb.t.Helper()
	tb.do(chromedp.Do(tb.ctx, chromedp.KeyEvent(text)))
}

// clockScript lets a test move the page's clock on.
const clockScript = `{
	const now = performance.now.bind(performance);
	let ahead = 0;
	performance.now = () => now() + ahead;
	globalThis.moveClock = (ms) => (ahead += ms);
}`

// watchRates lets the page see five minutes of rates around the daemon's own.
func (tb *tab) watchRates(d *daemon) {
	tb.t.Helper()
	doc := d.now().doc
	for i := range 40 {
		rate := doc.BytesPerSecond * (1 + 0.3*float64(i*7%11-5)/5)
		eval[int](tb, "moveClock(7000)")
		d.edit(func(doc *document) { doc.BytesPerSecond = rate })
		tb.wait(fmt.Sprintf("document.querySelectorAll('#spark .line').length > 0 && document.querySelector('#spark .line').getAttribute('points').split(' ').length >= %d", i+2))
	}
	d.edit(func(now *document) { now.BytesPerSecond = doc.BytesPerSecond })
}

// look takes a picture of the whole page if RECOVERD_TEST_SCREENSHOTS names a directory.
func (tb *tab) look(name string) {
	tb.t.Helper()
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(tb.ctx, chromedp.FullScreenshot(100))
	tb.do(err)
	tb.do(os.MkdirAll(dir, 0o755))
	tb.do(os.WriteFile(dir+"/"+name+".png", picture, 0o644))
}

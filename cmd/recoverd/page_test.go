package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// The page of a real run says when it will be done, as a range, and then that it is.
func TestServersPageOfARun(t *testing.T) {
	if os.Getenv(requireServers) == "" && flag.Lookup("test.run").Value.String() == "" {
		t.Skip("nobody asked for the browser; make servers does")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv(requireServers) != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	f := newFleet(t, 3_000, 20_000)
	p := start(t, f.run("--listen", "127.0.0.1:0", "--bwlimit", "3MiB")...)
	address := ""
	until(t, "it listens", func() bool {
		m := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.stderr.String())
		address = m
		return m != ""
	})
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer stop()
	tab, closeTab := chromedp.NewContext(allocator)
	defer closeTab()
	tab, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Do(tab, chromedp.Navigate(address+"/")); err != nil {
		t.Fatal(err)
	}
	left, err := chromedp.Run(tab, chromedp.Poll[string](
		`(() => { const t = document.getElementById("left").textContent; return /\d.* to .*\d/.test(t) ? t : null; })()`))
	if err != nil {
		t.Fatalf("the page names no range: %v", err)
	}
	doc, ok := status(t, f.path("state"))
	if !ok || doc.ETA == nil {
		t.Errorf("the page says %q, and the status has no estimate", left)
	}
	must(t, "limits", "--state-dir", f.path("state"), "--bwlimit", "0")
	text, err := chromedp.Run(tab, chromedp.Poll[string](`/Complete/.test(document.body.innerText) && document.body.innerText`))
	if err != nil {
		t.Fatalf("the page never says that it is complete: %v", err)
	}
	if !strings.Contains(text, "100 %") {
		t.Errorf("complete, and the page shows\n%s", text)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

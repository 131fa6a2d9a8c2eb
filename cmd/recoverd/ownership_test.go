package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// A node in any language publishes its ownership over HTTP behind a token, changes
// it, and the run follows; what only reads asks the same URL.
func TestOwnershipOverHTTP(t *testing.T) {
	f := newFleet(t, 60, 300)
	var document atomic.Value
	document.Store(`{"epoch": 1, "total_shards": 4, "owned": "0-1"}`)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(document.Load().(string)))
	}))
	defer host.Close()
	writeFile(t, f.path("token"), "hush\n")
	flags := []string{"--ownership", host.URL + "/ownership", "--ownership-token-file", f.path("token")}

	p := start(t, f.run(flags...)...)
	complete := func(epoch uint32) func() bool {
		return func() bool {
			if p.hasEnded() {
				t.Fatalf("the run has ended: %s", p.stderr.String())
			}
			doc, ok := status(t, f.path("state"))
			return ok && doc.Phase == recovery.PhaseComplete.String() && doc.Ownership != nil && doc.Ownership.Epoch == epoch
		}
	}
	until(t, "the first set is complete", complete(1))
	document.Store(`{"epoch": 2, "total_shards": 4, "owned": "0-3"}`)
	until(t, "the second set is complete", complete(2))
	f.sameStore()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if strings.Contains(p.stderr.String(), "hush") {
		t.Error("the token is in the log")
	}

	plan := append([]string{"plan", "--state-dir", f.path("state"), "--catalog", f.catalog, "--store", f.path("node"), "-o", "json"}, flags...)
	if out := must(t, plan...); !strings.Contains(out, `"epoch": 2`) {
		t.Errorf("plan: %s", out)
	}
	document.Store(`{"epoch": 3, "total_shards": 4, "owned": "9"}`)
	if _, stderr, code := invoke(t, f.run(flags...)...); code != exitConfig || !strings.Contains(stderr, "shard 9") {
		t.Errorf("a bad first document: exit code %d, %s", code, stderr)
	}
}

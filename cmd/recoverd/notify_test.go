package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/syncer/peer"
)

// A peer that answers and never serves is named by the log as one that is away is, and
// is so until it serves, also while it is asked again to see whether it does.
func TestLogNamesPeersThatDoNotServe(t *testing.T) {
	for _, tc := range []struct {
		peers []peer.PeerStatus
		want  string
	}{
		{nil, ""},
		{[]peer.PeerStatus{{Name: "a", State: peer.Reachable, Why: asked}}, ""},
		{[]peer.PeerStatus{{Name: "a", State: peer.Unreachable, Why: "not asked"}, {Name: "b", State: peer.Unreachable}}, "cannot be reached: a, b"},
		{[]peer.PeerStatus{
			{Name: "a", State: peer.Resting, Why: "not asked for a while"}, {Name: "b", State: peer.Reachable, Why: "one request at a time"},
			{Name: "c", State: peer.Unreachable, Why: "not asked but probed"}, {Name: "d", State: peer.Reachable, Why: asked},
		}, "cannot be reached: c; answer with failures: a, b"},
	} {
		if got := poolTrouble(tc.peers); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.peers, got, tc.want)
		}
	}

	f := newFleet(t, 20, 600)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) }))
	defer refuses.Close()
	p := start(t, append(slices.Clone(f.args), "--peer", refuses.URL+"/{id}")...)
	until(t, "the log names the peer", func() bool {
		return strings.Contains(p.stderr.String(), "answer with failures: "+refuses.URL)
	})
	p.signal(syscall.SIGTERM)
	p.wait()
}

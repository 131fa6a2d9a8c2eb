package statusapi

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Profiles are for this machine, and only when they were asked for.
func TestProfiles(t *testing.T) {
	cfg, _ := sampleConfig()
	cfg.Pprof = true
	address := servingTCP(t, newServer(t, cfg))
	get := func(path string) answered {
		return exchange(t, address, "GET "+path+" HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\n\r\n")
	}
	for _, name := range []string{"heap", "goroutine", "allocs", "block", "mutex", "threadcreate"} {
		if answer := get("/debug/pprof/" + name); answer.code != 200 || !strings.HasPrefix(answer.body, "\x1f\x8b") {
			t.Errorf("%s: code %d: %.80q", name, answer.code, answer.body)
		}
	}
	if answer := get("/debug/pprof/goroutine?debug=2"); answer.code != 200 || !strings.Contains(answer.body, "TestProfiles") {
		t.Errorf("goroutines as text: code %d: %.80q", answer.code, answer.body)
	}
	for path, want := range map[string]int{
		"/debug/pprof/cmdline": 404, "/debug/pprof/": 404, "/debug/pprof/nothing": 404, "/debug/pprof/heap?gc=1": 400,
		"/debug/pprof/profile?seconds=0": 400, "/debug/pprof/profile?seconds=121": 400, "/debug/pprof/heap?debug=x": 400,
	} {
		if answer := get(path); answer.code != want {
			t.Errorf("%s: code %d, want %d: %.80q", path, answer.code, want, answer.body)
		}
	}
}

func TestProfilesAreNotForOtherMachines(t *testing.T) {
	cfg, _ := sampleConfig()
	for _, tc := range []struct {
		name  string
		pprof bool
		local net.Addr
		code  int
	}{
		{"asked for, loopback", true, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, 200},
		{"asked for, another address", true, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, 404},
		{"asked for, somebody's socket", true, &net.UnixAddr{Name: "/run/other.sock"}, 404},
		{"not asked for", false, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, 404},
	} {
		cfg.Pprof = tc.pprof
		answer := httptest.NewRecorder()
		request := sampleRequest{operation: "GET ", path: "/debug/pprof/heap"}.request()
		request = request.WithContext(context.WithValue(request.Context(), http.LocalAddrContextKey, tc.local))
		newServer(t, cfg).Handler().ServeHTTP(answer, request)
		if answer.Code != tc.code {
			t.Errorf("%s: code %d, want %d", tc.name, answer.Code, tc.code)
		}
	}
}

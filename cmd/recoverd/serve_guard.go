package main

import (
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// Limits of `serve`. Other nodes are no friends, and may be many.
const (
	// maxServed is how many connections are open at a time; later ones wait in the
	// kernel. Each may need a second descriptor, for a file.
	maxServed = 2_000
	// leastSpeed is how slowly an answer may be read, in bytes a second, before it is
	// cut off; servedGrace comes on top. Who is cut off resumes.
	leastSpeed  = 64 << 10
	servedGrace = 30 * time.Second
)

// guarded refuses what no other node asks. Pages in somebody's browser are refused as
// well: an address of this machine may be reached by a name that was rebound to it, and
// what lies in a store is the nodes' business.
func guarded(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		changing := *r // what such a page may not do, it may not read either
		changing.Method = http.MethodPost
		switch p := r.URL.Path; {
		case !meant(r):
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("host %.80q is not served by an address of this machine alone; ask by that address, or serve on another one (--listen)", r.Host))
		case protection.Check(&changing) != nil:
			refuse(w, http.StatusForbidden, "a page of another origin may not ask this")
		case r.ContentLength != 0: // -1 for a chunked one
			refuse(w, http.StatusBadRequest, "a request to read has no body")
		case !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.Contains(r.URL.EscapedPath(), "%"):
			http.Error(w, "there is nothing here", http.StatusNotFound) // a ServeMux would redirect
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this is only read", http.StatusMethodNotAllowed)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// refuse ends the connection with the answer: what follows is nobody's we know.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Connection", "close")
	http.Error(w, text, code)
}

// meant reports whether the request names the address that it came in by. A loopback
// address has the name localhost, and IP addresses, which nobody can rebind; other
// addresses have names that are not known here.
func meant(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return true
	}
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = strings.Trim(r.Host, "[]")
	}
	return strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil
}

// hurried gives an answer of n bytes its time, and returns what takes the limit away
// again for the connection's next request.
func hurried(w http.ResponseWriter, n int64) (end func()) {
	c := http.NewResponseController(w)
	// A server of a test may know no deadline; then there is none to move.
	_ = c.SetWriteDeadline(time.Now().Add(servedGrace + time.Duration(n/leastSpeed+1)*time.Second))
	return func() { _ = c.SetWriteDeadline(time.Time{}) }
}

package statusapi

import (
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// secured sets the headers that every answer carries: nothing is cached, sniffed,
// framed or run. A connection ends with a body that nobody read to its end: what
// follows might be taken for the next request.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.ContentLength != 0 {
			h.Set("Connection", "close") // until readBody has read it
		}
		next.ServeHTTP(w, r)
	})
}

// hostChecked refuses requests for a name that is not ours: a page whose name
// was rebound to a loopback address sends its own name.
func (s *Server) hostChecked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		named := func(host string) bool { return strings.EqualFold(host, r.Host) }
		if !slices.ContainsFunc(s.cfg.AllowedHosts, named) && !slices.ContainsFunc(ownNames(local), named) {
			w.Header().Set("Connection", "close")
			writeError(w, http.StatusMisdirectedRequest, fmt.Sprintf("host %.80q is not served here", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownNames lists the values of Host by which a listener itself is meant.
func ownNames(local net.Addr) []string {
	switch a := local.(type) {
	case *net.TCPAddr:
		port := strconv.Itoa(a.Port)
		// The address itself is nobody's to rebind.
		return []string{"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port, net.JoinHostPort(a.IP.String(), port)}
	case *net.UnixAddr:
		return []string{clientHost, "localhost"}
	}
	return nil
}

// ownPages refuses what a page of another origin asks for, to read as well: it
// cannot see the answer, but it could take every place of those who watch. A link
// that somebody follows is no such question.
func ownPages(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if reads && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			strict := *r
			strict.Method, asked = http.MethodPost, &strict
		}
		if protection.Check(asked) != nil {
			writeError(w, http.StatusForbidden, "a page of another origin may not ask this")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// cleanPaths answers what a ServeMux would redirect, or answer in its own words.
// No path of ours needs an escape.
func cleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.Contains(r.URL.EscapedPath(), "%") {
			notFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// only lets one method through, and with GET also HEAD. What is read has no body.
func only(method string, next http.HandlerFunc) http.Handler {
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead):
			w.Header().Set("Allow", allow)
			writeError(w, http.StatusMethodNotAllowed, fmt.Sprintf("method %.20q is not allowed here", r.Method))
		case method == http.MethodGet && r.ContentLength != 0: // -1 for a chunked one
			writeError(w, http.StatusBadRequest, "a request to read has no body")
		default:
			next(w, r)
		}
	})
}

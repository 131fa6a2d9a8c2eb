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
// framed or run.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
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
		names := []string{"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port}
		if a.IP.IsLoopback() {
			names = append(names, net.JoinHostPort(a.IP.String(), port))
		}
		return names
	case *net.UnixAddr:
		return []string{clientHost, "localhost"}
	}
	return nil
}

// cleanPaths answers what a ServeMux would redirect, or answer in its own words.
func cleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; !strings.HasPrefix(p, "/") || path.Clean(p) != p {
			notFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readOnly lets GET and HEAD through, without a body.
func readOnly(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			writeError(w, http.StatusMethodNotAllowed, fmt.Sprintf("method %.20q is not allowed here", r.Method))
		case r.ContentLength != 0: // -1 for a chunked one
			w.Header().Set("Connection", "close")
			writeError(w, http.StatusBadRequest, "a request to read has no body")
		default:
			next(w, r)
		}
	})
}

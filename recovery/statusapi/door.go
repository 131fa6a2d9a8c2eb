package statusapi

import (
	"context"
	"net"
	"net/http"
	"strings"
)

// door is how a request came in.
type door uint8

const (
	doorOther  door = iota // mounted on somebody's server, or a loopback address
	doorSocket             // our socket: whoever connects is the owner or root
	doorTLS                // an address that other machines reach, with a certificate
)

func doorOf(l net.Listener) door {
	switch l.(type) {
	case *unixListener:
		return doorSocket
	case *tlsListener:
		return doorTLS
	}
	return doorOther
}

type doorKey struct{}

// through notes on a connection which door it came in by. Only our own listeners
// do that: a socket of somebody else's may let anybody in.
func (d door) through(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, doorKey{}, d)
}

func doorIn(r *http.Request) door {
	d, _ := r.Context().Value(doorKey{}).(door)
	return d
}

// nearby reports whether the request cannot have come from another machine.
func nearby(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	tcp, ok := local.(*net.TCPAddr)
	return doorIn(r) == doorSocket || ok && tcp.IP.IsLoopback()
}

// authorized lets requests through that may change something: those by the
// socket, and those that show the token.
func (s *Server) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if doorIn(r) == doorSocket {
			next(w, r)
			return
		}
		text, given := bearer(r)
		switch {
		case !s.cfg.Token.set:
			writeError(w, http.StatusForbidden, "nothing can be changed by this address; ask over the socket in the state directory")
		case !given:
			w.Header().Set("WWW-Authenticate", `Bearer realm="recoverd"`)
			writeError(w, http.StatusUnauthorized, "to change something, send the token: Authorization: Bearer and what the file token in the state directory holds")
		case !s.cfg.Token.matches(text):
			writeError(w, http.StatusForbidden, "the token is wrong; the right one is in the file token in the state directory")
		default:
			next(w, r)
		}
	}
}

// bearer returns the token of a request that shows exactly one.
func bearer(r *http.Request) (text string, given bool) {
	headers := r.Header["Authorization"]
	if len(headers) != 1 {
		return "", false
	}
	scheme, text, found := strings.Cut(headers[0], " ")
	return strings.TrimSpace(text), found && strings.EqualFold(scheme, "Bearer")
}

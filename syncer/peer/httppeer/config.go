package httppeer

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/recoverd/recoverd/syncer/peer"
)

// Config sets the limits of a Peer. The zero value of a field means its default.
type Config struct {
	// Concurrency is the most connections to the server, and the most that stay
	// open when idle; default 64. Further requests wait for one.
	Concurrency int
	// DialTimeout bounds name look-up and TCP connect; default 3 s.
	DialTimeout time.Duration
	// TLSTimeout bounds the TLS handshake; default 5 s.
	TLSTimeout time.Duration
	// AnswerTimeout bounds the time from the request to the end of the answer's
	// header; default 10 s.
	AnswerTimeout time.Duration
	// MaxHeader bounds the answer's header, in bytes; default 64 KiB.
	MaxHeader int64
	// TLS is used for https; nil means the system's roots and no client
	// certificate. It must not be changed afterwards.
	TLS *tls.Config
	// Keys, if set, stands in for TLS: it is asked before each request over https, so
	// it must be quick. Another pointer than the last time is another configuration,
	// and requests go over new connections from then on.
	Keys func() *tls.Config
	// Token, if set, is asked before each request, and what it returns is sent as a
	// bearer token, unless it is empty or the template holds user info. Whom a token may
	// be shown is the caller's decision.
	Token func() string
	// Name is what people see; default: the template's name.
	Name string
	// Wrap, if set, puts itself between the peer and the connections, to change
	// requests and to say what answers mean. A *peer.Error of its is passed on as it is.
	Wrap func(http.RoundTripper) http.RoundTripper
}

func (c Config) withDefaults() Config {
	setDefault(&c.Concurrency, 64)
	setDefault(&c.DialTimeout, 3*time.Second)
	setDefault(&c.TLSTimeout, 5*time.Second)
	setDefault(&c.AnswerTimeout, 10*time.Second)
	setDefault(&c.MaxHeader, 64<<10)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports, wrapping peer.ErrConfig, the first limit that makes no sense.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, l := range []struct {
		name      string
		value     int64
		low, high int64
	}{
		{"concurrency", int64(c.Concurrency), 1, 4_096},
		{"dial timeout (ms)", c.DialTimeout.Milliseconds(), 1, 300_000},
		{"tls timeout (ms)", c.TLSTimeout.Milliseconds(), 1, 300_000},
		{"answer timeout (ms)", c.AnswerTimeout.Milliseconds(), 1, 3_600_000},
		{"header (B)", c.MaxHeader, 1 << 10, 16 << 20},
	} {
		if l.value < l.low || l.value > l.high {
			return fmt.Errorf("%w: http %s is %d, want %d to %d", peer.ErrConfig, l.name, l.value, l.low, l.high)
		}
	}
	return nil
}

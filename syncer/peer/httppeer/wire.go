package httppeer

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// wire sends requests over connections made with the newest keys. Old keys go with the
// transport that has them: its requests under way end, and it takes no others.
type wire struct {
	cfg    Config
	dialer *net.Dialer
	renew  func() *tls.Config // nil: the keys stay the same

	mu     sync.Mutex
	keys   *tls.Config
	newest *http.Transport
	before *http.Transport // the last one, whose connections may be in use yet; or nil
}

func newWire(scheme string, cfg Config) *wire {
	w := &wire{cfg: cfg, dialer: &net.Dialer{Timeout: cfg.DialTimeout}, keys: cfg.TLS}
	if scheme == "https" && cfg.Keys != nil {
		w.renew, w.keys = cfg.Keys, cfg.Keys()
	}
	w.newest = w.transport(w.keys)
	return w
}

func (w *wire) transport(keys *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // hazard 71: nothing from the environment
		DialContext:            w.dialer.DialContext,
		TLSClientConfig:        keys,
		TLSHandshakeTimeout:    w.cfg.TLSTimeout,
		DisableCompression:     true, // hazard 70
		MaxIdleConns:           w.cfg.Concurrency,
		MaxIdleConnsPerHost:    w.cfg.Concurrency,
		MaxConnsPerHost:        w.cfg.Concurrency,
		IdleConnTimeout:        30 * time.Second,
		ResponseHeaderTimeout:  w.cfg.AnswerTimeout,
		MaxResponseHeaderBytes: w.cfg.MaxHeader,
		ReadBufferSize:         16 << 10, // a small piece and its header in one read
		Protocols:              protocols,
	}
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.renew == nil {
		return w.newest.RoundTrip(req)
	}
	return w.renewed().RoundTrip(req)
}

// renewed returns the transport of the keys as they are now.
func (w *wire) renewed() *http.Transport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if keys := w.renew(); keys != w.keys {
		// What is in use now becomes idle later, and is closed after IdleConnTimeout.
		w.newest.CloseIdleConnections()
		w.before, w.keys, w.newest = w.newest, keys, w.transport(keys)
	}
	return w.newest
}

// close closes the connections that are idle: all, when nothing is under way.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest.CloseIdleConnections()
	if w.before != nil {
		w.before.CloseIdleConnections()
	}
}

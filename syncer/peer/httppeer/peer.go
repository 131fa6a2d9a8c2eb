package httppeer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

// Peer is one HTTP server.
type Peer struct {
	template  peer.Template
	transport *http.Transport
	dialer    *net.Dialer
	plain     http.Header // of requests for a whole piece; never changed
	request   *http.Request
}

var _ peer.Peer = (*Peer)(nil)

// New returns the peer that the template names. It connects to nothing. Errors
// wrap peer.ErrConfig, or peer.ErrTemplate for the zero Template.
func New(template peer.Template, cfg Config) (*Peer, error) {
	if template.Host() == "" {
		return nil, peer.ErrTemplate
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	dialer := &net.Dialer{Timeout: cfg.DialTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	p := &Peer{
		template: template,
		dialer:   dialer,
		plain:    http.Header{"User-Agent": {"recoverd"}, "Accept-Encoding": {"identity"}},
		transport: &http.Transport{
			Proxy:                  nil, // hazard 71: nothing from the environment
			DialContext:            dialer.DialContext,
			TLSClientConfig:        cfg.TLS,
			TLSHandshakeTimeout:    cfg.TLSTimeout,
			DisableCompression:     true, // hazard 70
			MaxIdleConns:           cfg.Concurrency,
			MaxIdleConnsPerHost:    cfg.Concurrency,
			MaxConnsPerHost:        cfg.Concurrency,
			IdleConnTimeout:        30 * time.Second,
			ResponseHeaderTimeout:  cfg.AnswerTimeout,
			MaxResponseHeaderBytes: cfg.MaxHeader,
			ReadBufferSize:         16 << 10, // a small piece and its header in one read
			Protocols:              protocols,
		},
	}
	if auth := template.Authorization(); auth != "" {
		p.plain.Set("Authorization", auth)
	}
	p.request = &http.Request{
		Method: http.MethodGet, Host: template.Host(), Header: p.plain,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return p, nil
}

// Name implements peer.Peer.
func (p *Peer) Name() string { return p.template.Name() }

// Get implements peer.Peer. It uses the transport and no http.Client, so there
// is nothing that could follow a redirect, keep a cookie, or put the URL with
// its query into an error.
func (p *Peer) Get(ctx context.Context, piece syncer.Piece, from peer.Resume) (peer.Body, error) {
	req := p.request.WithContext(ctx)
	req.URL = p.template.Expand(piece)
	if from.Offset > 0 {
		req.Header = p.plain.Clone()
		req.Header.Set("Range", "bytes="+strconv.FormatInt(from.Offset, 10)+"-")
		req.Header.Set("If-Range", from.Validator)
	}
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return peer.Body{}, classify(ctx, err)
	}
	body, err := read(resp, from)
	if err != nil {
		drain(resp)
		return peer.Body{}, err
	}
	return body, nil
}

// classify says what a request without an answer tells about the peer. The
// texts of these errors hold addresses, but never a URL.
func classify(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	reason := recovery.PeerFailed
	var op *net.OpError
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial", errors.As(err, &timeout) && timeout.Timeout():
		reason = recovery.Unreachable
	}
	return &peer.Error{Reason: reason, Err: err}
}

// Probe implements peer.Peer: it opens a TCP connection, and closes it.
func (p *Peer) Probe(ctx context.Context) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", p.template.Address())
	if err != nil {
		return err
	}
	return conn.Close()
}

// Close implements peer.Peer: it closes the idle connections.
func (p *Peer) Close() error {
	p.transport.CloseIdleConnections()
	return nil
}

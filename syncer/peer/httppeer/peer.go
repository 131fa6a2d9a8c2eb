package httppeer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

// Peer is one HTTP server.
type Peer struct {
	name     string
	template peer.Template
	wire     *wire
	sender   http.RoundTripper // the wire, or what is wrapped around it
	token    func() string     // nil: none
	plain    http.Header       // of requests for a whole piece; never changed
	request  *http.Request
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
	p := &Peer{
		name: cfg.Name, template: template, wire: newWire(template.Scheme(), cfg), token: cfg.Token,
		plain: http.Header{"User-Agent": {"recoverd"}, "Accept-Encoding": {"identity"}},
	}
	if p.name == "" {
		p.name = template.Name()
	}
	p.sender = p.wire
	if cfg.Wrap != nil {
		p.sender = cfg.Wrap(p.wire)
	}
	if auth := template.Authorization(); auth != "" {
		p.plain.Set("Authorization", auth)
		p.token = nil
	}
	p.request = &http.Request{
		Method: http.MethodGet, Host: template.Host(), Header: p.plain,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return p, nil
}

// Name implements peer.Peer.
func (p *Peer) Name() string { return p.name }

// Get implements peer.Peer. It uses a transport and no http.Client, so there
// is nothing that could follow a redirect, keep a cookie, or put the URL with
// its query into an error.
func (p *Peer) Get(ctx context.Context, piece syncer.Piece, from peer.Resume) (peer.Body, error) {
	req := p.request.WithContext(ctx)
	req.URL = p.template.Expand(piece)
	token := ""
	if p.token != nil {
		token = p.token()
	}
	if from.Offset > 0 || token != "" {
		req.Header = p.plain.Clone()
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if from.Offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(from.Offset, 10)+"-")
		if from.Validator != "" {
			req.Header.Set("If-Range", from.Validator)
		}
	}
	resp, err := p.sender.RoundTrip(req)
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
	var judged *peer.Error
	if ctx.Err() != nil || errors.As(err, &judged) {
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
	conn, err := p.wire.dialer.DialContext(ctx, "tcp", p.template.Address())
	if err != nil {
		return err
	}
	return conn.Close()
}

// Close implements peer.Peer: it closes the idle connections.
func (p *Peer) Close() error {
	p.wire.close()
	return nil
}

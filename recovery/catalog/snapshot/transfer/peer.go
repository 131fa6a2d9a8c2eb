package transfer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// peer is one server, and how it behaved.
type peer struct {
	name   string // its URL as it may be shown
	base   *url.URL
	auth   string // a secret
	client *http.Transport
	cfg    Config

	offers  []archive.Name // of its last list; nil: it gave none
	bytes   int64          // of pieces that it sent and that were right
	strikes int            // failures since its last piece
	err     error          // the last thing that went wrong
	banned  bool           // it lied
}

func parsePeer(text string) (*peer, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || u.Hostname() == "":
		return nil, fmt.Errorf("%w: want http://host:port or https://host", ErrPeerURL)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%w: %s has a query or a fragment", ErrPeerURL, shownURL(u))
	}
	p := &peer{name: shownURL(u), base: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p, nil
}

// shownURL leaves out what may be secret.
func shownURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}).String()
}

// newTransport follows no redirect, keeps no cookie, asks no proxy, inflates
// nothing, and bounds headers (hazards 70 and 71).
func newTransport(c Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: c.TLS, TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression: true, MaxConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10, ReadBufferSize: 64 << 10, Protocols: protocols,
	}
}

// list asks the peer what it offers. Errors wrap ErrLied where the answer is no
// list, or are those of asking.
func (p *peer) list(ctx context.Context) (network string, offers []offer, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ListTimeout)
	defer cancel()
	resp, err := p.get(ctx, "", "")
	if err != nil {
		return "", nil, fmt.Errorf("ask for its list: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("ask for its list: %w", statusError(resp.StatusCode))
	}
	network, offers, err = readDocument(resp.Body)
	if errors.Is(err, ErrDocument) {
		err = fmt.Errorf("%w: %w", ErrLied, err)
	}
	return network, offers, err
}

// stretch is a part of a file.
type stretch struct {
	file     archive.File
	from, to int64 // bytes; to is exclusive
	size     int64 // of the whole file
}

// open asks for a stretch of a file. The body may be shorter or longer than that
// (hazards 69 and 70). Errors wrap ErrLied or ErrGone, or are those of asking.
func (p *peer) open(ctx context.Context, s stretch) (io.ReadCloser, error) {
	// The answer's header has a deadline of its own; the body has a pace.
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(p.cfg.AnswerTimeout, func() { cancel(fmt.Errorf("%w: no answer in %v", errSlow, p.cfg.AnswerTimeout)) })
	resp, err := p.get(ctx, "/"+s.file.String(), fmt.Sprintf("bytes=%d-%d", s.from, s.to-1))
	if !late.Stop() && err == nil {
		resp.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if err := s.check(resp); err != nil {
		resp.Body.Close()
		cancel(nil)
		return nil, err
	}
	return &body{pace: startPace(resp.Body, p.cfg.MinSpeed, p.cfg.Window, cancel), Closer: resp.Body, cancel: cancel}, nil
}

// get sends a request. It uses the transport and no http.Client, so there is
// nothing that could follow a redirect or put the URL into an error.
func (p *peer) get(ctx context.Context, path, span string) (*http.Response, error) {
	u := *p.base
	u.Path += "/snapshots" + path
	req := (&http.Request{
		Method: http.MethodGet, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"recoverd"}, "Accept-Encoding": {"identity"}},
	}).WithContext(ctx)
	if p.auth != "" {
		req.Header.Set("Authorization", p.auth)
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	resp, err := p.client.RoundTrip(req)
	if err != nil {
		return nil, cause(ctx, err)
	}
	return resp, nil
}

// cause is why a request ended early, if it was we who ended it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// check reports whether an answer is the stretch that was asked for.
func (s stretch) check(resp *http.Response) error {
	length := s.to - s.from
	switch {
	case resp.StatusCode == http.StatusOK && length == s.size: // all of it was asked for
	case resp.StatusCode == http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, s.size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return fmt.Errorf("%w: it was asked for %q and answers %.80q", ErrLied, want, got)
		}
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return fmt.Errorf("%w: %w", ErrGone, statusError(resp.StatusCode))
	case resp.StatusCode == http.StatusOK:
		return fmt.Errorf("%w: it was asked for a part of %v and answers with all of something", ErrLied, s.file)
	default:
		return statusError(resp.StatusCode)
	}
	if resp.ContentLength >= 0 && resp.ContentLength != length {
		return fmt.Errorf("%w: %d bytes of %v were asked for, it says %d", ErrLied, length, s.file, resp.ContentLength)
	}
	return nil
}

// statusError never shows the server's own words.
func statusError(code int) error {
	text := strings.TrimSpace("status " + strconv.Itoa(code) + " " + http.StatusText(code))
	if code >= 300 && code < 400 {
		return fmt.Errorf("%w: it redirects (%s)", ErrLied, text)
	}
	return errors.New(text)
}

// body is an answer's body, watched for its pace.
type body struct {
	*pace
	io.Closer
	cancel context.CancelCauseFunc // of the request
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.stop()
	err := b.Closer.Close()
	b.cancel(nil)
	return err
}

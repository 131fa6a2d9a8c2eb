package event

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// HTTPConfig says where events are served.
type HTTPConfig struct {
	// URL answers GET with the query parameters after and limit: lines of events,
	// the first of which has the number after+1, at most limit of them, with or
	// without a Header before them. A query that it has already is kept.
	URL string
	// Network is whose events they must be, where a header says it. Empty: any.
	Network string
	// Timeout is the most that one answer may take, all of its body included;
	// default 30 s.
	Timeout time.Duration
	// PollInterval is the time between two looks for new events; default 2 s.
	PollInterval time.Duration
	// MaxLimit is the most events asked for at once, which bounds an answer to that
	// many lines; default 4096, at most 65,536.
	MaxLimit int
}

// Validate reports the first value that makes no sense.
func (c HTTPConfig) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return fmt.Errorf("event: the source's URL cannot be read: %w", errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("event: %s is not an HTTP URL", u.Redacted())
	case c.Timeout < 0 || c.PollInterval < 0:
		return errors.New("event: a timeout or an interval is negative")
	case c.MaxLimit < 0 || c.MaxLimit > maxHTTPLimit:
		return fmt.Errorf("event: at most %d events can be asked for at once, not %d", maxHTTPLimit, c.MaxLimit)
	}
	return nil
}

const maxHTTPLimit = 1 << 16

func (c HTTPConfig) withDefaults() HTTPConfig {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.PollInterval == 0 {
		c.PollInterval = 2 * time.Second
	}
	if c.MaxLimit == 0 {
		c.MaxLimit = 4096
	}
	return c
}

// HTTP is a web server that pages through events. It is not trusted further than
// its answers are well-formed: no redirect is followed, nothing is inflated, no
// proxy is taken from the environment, and an answer is bounded in size and time.
// A failed Read may be tried again; waiting before that is the caller's.
type HTTP struct {
	cfg    HTTPConfig
	url    *url.URL
	client *http.Client
	once   sync.Once
	stop   chan struct{} // closed by Close
}

// NewHTTP returns a source. The caller closes it.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	return &HTTP{
		cfg: cfg.withDefaults(), url: u, stop: make(chan struct{}),
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: 64 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close implements Source.
func (h *HTTP) Close() error {
	h.once.Do(func() {
		close(h.stop)
		h.client.CloseIdleConnections()
	})
	return nil
}

// Changed implements Source. A server does not tell: it is time to look again.
func (h *HTTP) Changed(ctx context.Context) error {
	timer := time.NewTimer(h.cfg.PollInterval)
	defer timer.Stop()
	select {
	case <-h.stop:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Read implements Source. Without a header that names it, the tip is the last
// event of an answer, and one more after a full one.
func (h *HTTP) Read(ctx context.Context, after uint64, limit int) (events []Event, tip uint64, err error) {
	select {
	case <-h.stop:
		return nil, 0, ErrClosed
	default:
	}
	limit = min(limit, h.cfg.MaxLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, h.cfg.Timeout, fmt.Errorf("event: no whole answer within %v", h.cfg.Timeout))
	defer cancel()
	u := *h.url
	q := u.Query()
	q.Set("after", strconv.FormatUint(after, 10))
	q.Set("limit", strconv.Itoa(limit))
	u.RawQuery = q.Encode()
	events, tip, err = h.get(ctx, &u, after, limit)
	if err != nil && ctx.Err() != nil {
		return nil, 0, fmt.Errorf("read %s: %w", u.Redacted(), context.Cause(ctx))
	}
	return events, tip, err
}

func (h *HTTP) get(ctx context.Context, u *url.URL, after uint64, limit int) ([]Event, uint64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, 0, plainly(u, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("read %s: the server answers %s", u.Redacted(), resp.Status)
	case resp.Header.Get("Content-Encoding") != "":
		return nil, 0, fmt.Errorf("read %s: the answer is encoded (%.40q), which was not asked for", u.Redacted(), resp.Header.Get("Content-Encoding"))
	}
	a := answer{source: u.Redacted(), network: h.cfg.Network, after: after, limit: limit}
	if err := a.read(resp.Body); err != nil {
		return nil, 0, err
	}
	tip := max(a.head.Tip, after+uint64(len(a.events)))
	if a.head.Tip == 0 && len(a.events) == 0 {
		tip = after // as far as anybody can tell
	} else if a.head.Tip == 0 && len(a.events) == limit {
		tip++ // there may be more
	}
	return a.events, tip, nil
}

// plainly leaves out of a network error what differs from try to try, so that one
// trouble reads as one.
func plainly(u *url.URL, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("read %s: %s: %w", u.Redacted(), op.Op, op.Err)
	}
	return err // names the URL without its password
}

// answer is what one answer holds.
type answer struct {
	source, network string
	after           uint64
	limit           int
	head            Header
	events          []Event
	line, offset    int64
}

// read takes the whole body: an answer that was cut short is none.
func (a *answer) read(body io.Reader) error {
	const ends = 2 // a header, and one byte to notice what is too much
	in := bufio.NewReaderSize(io.LimitReader(body, int64(a.limit+ends)*(MaxLine+1)), MaxLine+1)
	for {
		line, err := in.ReadSlice('\n')
		a.line++
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return a.bad(fmt.Errorf("%w: the answer was cut: %w", ErrMalformed, io.ErrUnexpectedEOF))
		case errors.Is(err, bufio.ErrBufferFull):
			return a.bad(fmt.Errorf("%w: a line of more than %d bytes", ErrMalformed, MaxLine))
		case err != nil:
			return fmt.Errorf("read %s: the answer broke off: %w", a.source, err)
		}
		if err := a.take(bytes.TrimSuffix(line, []byte{'\n'})); err != nil {
			return a.bad(err)
		}
		a.offset += int64(len(line))
	}
}

func (a *answer) take(line []byte) error {
	if a.line == 1 {
		head, is, err := ParseHeader(line)
		switch {
		case err != nil:
			return err
		case is && a.network != "" && head.Network != a.network:
			return fmt.Errorf("%w: these are events of network %q, not %q", recovery.ErrMisconfigured, head.Network, a.network)
		case is:
			a.head = head
			return nil
		}
	}
	e, err := ParseLine(line)
	want := a.after + uint64(len(a.events)) + 1
	switch {
	case err != nil:
		return err
	case len(a.events) == a.limit:
		return fmt.Errorf("%w: more than the %d events that were asked for", ErrMalformed, a.limit)
	case e.Position < want:
		return fmt.Errorf("%w: event %d, where %d was asked for", ErrMalformed, e.Position, want)
	case e.Position > want:
		return &MissingError{First: want, Found: e.Position}
	}
	a.events = append(a.events, e)
	return nil
}

func (a *answer) bad(err error) error {
	return &LineError{Source: a.source, Line: a.line, Offset: a.offset, Err: err}
}

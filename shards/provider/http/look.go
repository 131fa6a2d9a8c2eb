package httpprovider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/recoverd/recoverd/recovery/keyfile"
	"github.com/recoverd/recoverd/shards/provider"
)

var (
	// ErrStatus reports an answer that is neither 200 nor a 304 that was asked for.
	ErrStatus = errors.New("httpprovider: not the document")
	// ErrTooLarge reports an answer of more than provider.MaxDocument bytes.
	ErrTooLarge = errors.New("httpprovider: too large")
	// ErrEncoding reports an answer in a Content-Encoding.
	ErrEncoding = errors.New("httpprovider: encoded, though identity was asked for")
	// ErrToken reports a token file without a usable token.
	ErrToken = errors.New("httpprovider: bad token file")
	// ErrTimeout reports an answer that was not whole within Config.Timeout.
	ErrTimeout = errors.New("httpprovider: no whole answer in time")
)

const maxHeader = 64 << 10

// looker asks for the document. One goroutine uses it.
type looker struct {
	config Config
	client *http.Client

	tag  string    // of data; empty: ask without
	data []byte    // the last whole answer
	at   time.Time // when that came
}

func newLooker(c Config) *looker {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &looker{config: c, client: &http.Client{
		Transport: &http.Transport{
			Proxy: nil, TLSClientConfig: c.TLS, DisableCompression: true, MaxConnsPerHost: 1,
			MaxResponseHeaderBytes: maxHeader, IdleConnTimeout: 30 * time.Second, Protocols: protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (l *looker) close() { l.client.CloseIdleConnections() }

// look returns the document as it is now. An error's text stays the same while the
// trouble does, or it would be news again with every look.
func (l *looker) look(ctx context.Context) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	data, err := l.get(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w (%v)", ErrTimeout, l.config.Timeout)
	}
	return data, steady(err)
}

func (l *looker) get(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.config.URL, nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{
		"User-Agent": {"recoverd"}, "Accept": {"application/json, application/yaml"}, "Accept-Encoding": {"identity"},
	}
	if l.config.TokenFile != "" {
		token, err := keyfile.Token(l.config.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrToken, err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	asked := l.tag != "" && time.Since(l.at) < l.config.Refetch
	if asked {
		request.Header.Set("If-None-Match", l.tag)
	}
	response, err := l.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if asked && response.StatusCode == http.StatusNotModified {
		return l.data, nil
	}
	return l.take(response)
}

// take reads a whole answer and keeps it for a 304.
func (l *looker) take(r *http.Response) ([]byte, error) {
	switch encoding := r.Header.Get("Content-Encoding"); {
	case r.StatusCode >= 300 && r.StatusCode < 400 && r.StatusCode != http.StatusNotModified:
		return nil, fmt.Errorf("%w: status %d, and redirects are not followed: name the document's own URL", ErrStatus, r.StatusCode)
	case r.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d", ErrStatus, r.StatusCode)
	case encoding != "" && encoding != "identity":
		return nil, fmt.Errorf("%w: %.40q", ErrEncoding, encoding)
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, provider.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", steady(err))
	}
	if len(data) > provider.MaxDocument {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, provider.MaxDocument)
	}
	l.tag, l.data, l.at = r.Header.Get("ETag"), data, time.Now()
	return data, nil
}

// steady takes out of an error what differs from look to look, such as the ports
// of this end, and what does not belong into a log, such as the URL's query.
func steady(err error) error {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return fmt.Errorf("look up %s: no such host", e.Name)
		}
		return fmt.Errorf("look up %s: the name servers do not answer", e.Name)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op != "dial" {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

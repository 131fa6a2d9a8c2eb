package statusapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Errors that a Client's wrap.
var (
	// ErrNotRunning: no daemon listens on the socket.
	ErrNotRunning = errors.New("statusapi: no daemon is running")
	// ErrNotOffered: the daemon does not do what was asked.
	ErrNotOffered = errors.New("statusapi: not offered")
	// ErrNotYet: a blob was not done in the time given.
	ErrNotYet = errors.New("statusapi: not done in time")
)

// APIError is an answer that says why there is none.
type APIError struct {
	Code    int // HTTP status
	Message string
}

func (e *APIError) Error() string {
	return fmt.Sprintf("the daemon answered %d: %s", e.Code, e.Message)
}

// Is reports whether the answer is what one of the errors above stands for.
func (e *APIError) Is(target error) bool {
	return target == ErrNotOffered && e.Code == http.StatusNotImplemented ||
		target == ErrNotYet && e.Code == http.StatusGatewayTimeout
}

// Client asks the daemon of a state directory over its socket. Its methods may
// be called from many goroutines, and wrap ErrNotRunning once the daemon has
// left.
type Client struct {
	http http.Client
}

const (
	// clientHost is the Host that a Client sends.
	clientHost = "recoverd"
	// maxAnswer bounds an answer, in bytes; 10,000 unsettled blobs with long
	// errors take half of it.
	maxAnswer = 16 << 20
	// clientTimeout is how long a question to read may take.
	clientTimeout = 10 * time.Second
)

// Dial makes sure that a daemon listens in a state directory. Close frees what
// the client holds.
func Dial(ctx context.Context, stateDir string) (*Client, error) {
	path := SocketPath(stateDir)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%w: %s is %d bytes too long", ErrSocket, path, len(path)-maxSocketPath)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return conn, err
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	return &Client{http: http.Client{
		Transport: &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConns: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}, nil
}

// Close frees the connection that is kept for the next question.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// question is one request; into is where the answer goes.
type question struct {
	method   string
	path     string
	query    url.Values
	body     any // of a POST
	patience time.Duration
	into     any
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.ask(ctx, question{method: http.MethodGet, path: path, query: query, patience: clientTimeout, into: into})
}

// post waits longer than the daemon, so that it is the daemon that says what became
// of it.
func (c *Client) post(ctx context.Context, path string, body, into any) error {
	return c.ask(ctx, question{method: http.MethodPost, path: path, body: body, patience: commandPatience + clientTimeout, into: into})
}

func (c *Client) ask(ctx context.Context, q question) error {
	ctx, cancel := context.WithTimeout(ctx, q.patience)
	defer cancel()
	response, err := c.do(ctx, q)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer to %s: %w", q.path, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("read the answer to %s: it is longer than %d bytes", q.path, maxAnswer)
	case response.StatusCode != http.StatusOK:
		return apiError(response.StatusCode, body)
	}
	if err := json.Unmarshal(body, q.into); err != nil {
		return fmt.Errorf("read the answer to %s: %w", q.path, err)
	}
	return nil
}

// do sends a question and returns the beginning of the answer, whatever it is.
func (c *Client) do(ctx context.Context, q question) (*http.Response, error) {
	where := url.URL{Scheme: "http", Host: clientHost, Path: q.path, RawQuery: q.query.Encode()}
	var body io.Reader
	if q.method == http.MethodPost {
		text, err := json.Marshal(q.body)
		if err != nil {
			return nil, fmt.Errorf("ask for %s: %w", q.path, err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, q.method, where.String(), body)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", q.path, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		var noise *url.Error // its address is not a real one
		if errors.As(err, &noise) {
			err = noise.Err
		}
		return nil, fmt.Errorf("ask for %s: %w", q.path, err)
	}
	return response, nil
}

// apiError reads the error object, or else the beginning of what came instead.
func apiError(code int, body []byte) error {
	var e errorBody
	if err := json.Unmarshal(body, &e); err != nil || e.Error == "" {
		e.Error = fmt.Sprintf("%.200q", strings.TrimSpace(string(body)))
	}
	return &APIError{Code: code, Message: e.Error}
}

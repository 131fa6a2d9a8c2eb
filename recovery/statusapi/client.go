package statusapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// ErrNotRunning: no daemon listens on the socket.
var ErrNotRunning = errors.New("statusapi: no daemon is running")

// APIError is an answer that says why there is none.
type APIError struct {
	Code    int // HTTP status
	Message string
}

func (e *APIError) Error() string {
	return fmt.Sprintf("the daemon answered %d: %s", e.Code, e.Message)
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
	maxAnswer     = 16 << 20
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
		Timeout:   clientTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}, nil
}

// Close frees the connection that is kept for the next question.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the newest status.
func (c *Client) Status(ctx context.Context) (Document, error) {
	var d Document
	err := c.get(ctx, "/api/v1/status", nil, &d)
	return d, err
}

// Unsettled returns a page of at most limit entries (1 to 10,000; 0: 1,000)
// after an id (nil: the first).
func (c *Client) Unsettled(ctx context.Context, after *recovery.BlobID, limit int) (UnsettledPage, error) {
	query := url.Values{}
	if after != nil {
		query.Set("after", after.String())
	}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	var page UnsettledPage
	err := c.get(ctx, "/api/v1/unsettled", query, &page)
	return page, err
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	where := url.URL{Scheme: "http", Host: clientHost, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var noise *url.Error // its address is not a real one
		if errors.As(err, &noise) {
			err = noise.Err
		}
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer to %s: %w", path, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("read the answer to %s: it is longer than %d bytes", path, maxAnswer)
	case response.StatusCode != http.StatusOK:
		return apiError(response.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

// apiError reads the error object, or else the beginning of what came instead.
func apiError(code int, body []byte) error {
	var e errorBody
	if err := json.Unmarshal(body, &e); err != nil || e.Error == "" {
		e.Error = fmt.Sprintf("%.200q", strings.TrimSpace(string(body)))
	}
	return &APIError{Code: code, Message: e.Error}
}

package statusapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxEvent bounds a line of a stream, in bytes.
	maxEvent = 4 << 20
	// silence is how long nothing may come before a stream counts as dead.
	silence = 3 * beatEvery
)

// Watch calls show with the status, at once and then with every new one, until ctx
// ends, which is no error, or show returns an error, which is Watch's. A stream
// that ends or falls silent is opened again. Watch returns an error that wraps
// ErrNotRunning once no daemon listens, and an *APIError for an answer that is no
// stream.
func (c *Client) Watch(ctx context.Context, show func(Document) error) error {
	for {
		began := time.Now()
		err := c.watchStream(ctx, func(d Document) error {
			if err := show(d); err != nil {
				return &shownError{err}
			}
			return nil
		})
		var refused *APIError
		var ours *shownError
		switch {
		case errors.As(err, &ours):
			return ours.err
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrNotRunning), errors.As(err, &refused):
			return err
		case time.Since(began) > reconnectAfter: // whether the daemon has left is known at once
			continue
		}
		timer := time.NewTimer(reconnectAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// shownError is what the one who watches returned.
type shownError struct{ err error }

func (e *shownError) Error() string { return e.err.Error() }

// watchStream follows one stream to its end.
func (c *Client) watchStream(ctx context.Context, show func(Document) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	response, err := c.do(ctx, question{method: http.MethodGet, path: "/api/v1/events"})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || kind != "text/event-stream" {
		body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
		if err != nil {
			return fmt.Errorf("read the answer to /api/v1/events: %w", err)
		}
		return apiError(response.StatusCode, body)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	var data []byte
	for lines.Scan() {
		alive.Reset(silence)
		text, isData := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		switch {
		case isData:
			data = bytes.Clone(text)
		case len(lines.Bytes()) == 0 && data != nil: // an event ends
			var d Document
			if err := json.Unmarshal(data, &d); err != nil {
				return fmt.Errorf("read an event: %w", err)
			}
			if err := show(d); err != nil {
				return err
			}
			data = nil
		}
	}
	return lines.Err()
}

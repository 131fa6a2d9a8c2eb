package statusapi

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// Status returns the newest status.
func (c *Client) Status(ctx context.Context) (Document, error) {
	var d Document
	err := c.get(ctx, "/api/v1/status", nil, &d)
	return d, err
}

// Live returns nil if the daemon's main loop turns, and an *APIError that says what
// is wrong if it does not.
func (c *Client) Live(ctx context.Context) error {
	return c.get(ctx, "/livez", nil, new(map[string]bool))
}

// Ready returns nil if the daemon does its work, which is not to say that the work
// is done, and an *APIError that says what it waits for if it does not.
func (c *Client) Ready(ctx context.Context) error {
	return c.get(ctx, "/readyz", nil, new(map[string]bool))
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

// Shards returns how far each owned shard is.
func (c *Client) Shards(ctx context.Context) ([]worker.ShardProgress, error) {
	var view ShardsView
	err := c.get(ctx, "/api/v1/shards", nil, &view)
	return view.Shards, err
}

// History returns how the runs began, newest first.
func (c *Client) History(ctx context.Context) ([]worker.RunEvent, error) {
	var view HistoryView
	err := c.get(ctx, "/api/v1/history", nil, &view)
	return view.History, err
}

// Explain returns all that is known about one blob.
func (c *Client) Explain(ctx context.Context, id recovery.BlobID) (BlobView, error) {
	var view BlobView
	err := c.get(ctx, "/api/v1/blobs/"+id.String(), nil, &view)
	return view, err
}

// Pause sets or clears the pause flag; it is durable when Pause returns nil.
func (c *Client) Pause(ctx context.Context, paused bool) error {
	path := "/api/v1/resume"
	if paused {
		path = "/api/v1/pause"
	}
	return c.post(ctx, path, struct{}{}, new(Paused))
}

// idsAtOnce is how many ids go into one request; its body is bounded.
const idsAtOnce = 500

type idsBody struct {
	IDs []recovery.BlobID `json:"ids"`
}

// Retry makes blobs due; none given, nothing is asked. After an error some may be.
func (c *Client) Retry(ctx context.Context, ids []recovery.BlobID) (worker.RetryResult, error) {
	sum := worker.RetryResult{Busy: []recovery.BlobID{}, Unknown: []recovery.BlobID{}}
	for part := range slices.Chunk(ids, idsAtOnce) {
		var result worker.RetryResult
		if err := c.post(ctx, "/api/v1/retry", idsBody{part}, &result); err != nil {
			return sum, err
		}
		sum.Due += result.Due
		sum.Busy, sum.Unknown = append(sum.Busy, result.Busy...), append(sum.Unknown, result.Unknown...)
	}
	return sum, nil
}

// RetryAll makes all blobs due that wait.
func (c *Client) RetryAll(ctx context.Context) (worker.RetryResult, error) {
	var result worker.RetryResult
	err := c.post(ctx, "/api/v1/retry", map[string]bool{"all": true}, &result)
	return result, err
}

// Repair queues blobs that are not stored as they should be. After an error some
// may be queued.
func (c *Client) Repair(ctx context.Context, ids []recovery.BlobID) (worker.PutBackResult, error) {
	sum := worker.PutBackResult{NotCertified: []recovery.BlobID{}, NotOwned: []recovery.BlobID{}, Refused: []recovery.BlobID{}}
	for part := range slices.Chunk(ids, idsAtOnce) {
		var result worker.PutBackResult
		if err := c.post(ctx, "/api/v1/repair", idsBody{part}, &result); err != nil {
			return sum, err
		}
		sum.Queued += result.Queued
		sum.NotCertified, sum.NotOwned = append(sum.NotCertified, result.NotCertified...), append(sum.NotOwned, result.NotOwned...)
		sum.Refused = append(sum.Refused, result.Refused...)
	}
	return sum, nil
}

// LimitsChange says which limits to change; a nil one stays as it is.
type LimitsChange struct {
	Concurrency    *int   `json:"concurrency,omitempty"` // a fixed one: Auto becomes false
	Auto           *bool  `json:"auto,omitempty"`
	ConcurrencyMax *int   `json:"concurrency_max,omitempty"`
	BytesInFlight  *int64 `json:"bytes_in_flight,omitempty"`
	BytesPerSecond *int64 `json:"bytes_per_second,omitempty"`
}

// SetLimits changes limits, and returns those in force then.
func (c *Client) SetLimits(ctx context.Context, change LimitsChange) (LimitsView, error) {
	var limits LimitsView
	err := c.post(ctx, "/api/v1/limits", change, &limits)
	return limits, err
}

// ResetLimits goes back to the configured limits, and returns them.
func (c *Client) ResetLimits(ctx context.Context) (LimitsView, error) {
	var limits LimitsView
	err := c.post(ctx, "/api/v1/limits", map[string]bool{"default": true}, &limits)
	return limits, err
}

// SetLogLevel changes how much is logged until the daemon ends: debug, info, warn
// or error.
func (c *Client) SetLogLevel(ctx context.Context, level string) error {
	return c.post(ctx, "/api/v1/log-level", LogLevelView{level}, new(LogLevelView))
}

// Sync asks for one blob and waits for its outcome, at most for a time of up to 10
// minutes; then the error is ErrNotYet.
func (c *Client) Sync(ctx context.Context, id recovery.BlobID, wait time.Duration) (recovery.Outcome, error) {
	var outcome recovery.Outcome
	err := c.ask(ctx, question{
		method: "POST", path: "/api/v1/blobs/" + id.String() + "/sync", query: url.Values{"timeout": {wait.String()}},
		body: struct{}{}, patience: wait + clientTimeout, into: &outcome,
	})
	return outcome, err
}

package statusapi

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

const sampleToken = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"

// controls does what it is told, as far as a test can see: it notes each command.
type controls struct {
	mu     sync.Mutex
	told   []string
	limits worker.Limits
	level  string
	err    error         // of every command
	stuck  chan struct{} // non-nil: commands and questions wait for it
}

// tell notes a command, and waits where a test wants it to.
func (c *controls) tell(ctx context.Context, format string, values ...any) error {
	c.mu.Lock()
	c.told = append(c.told, fmt.Sprintf(format, values...))
	err, stuck := c.err, c.stuck
	c.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (c *controls) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told)
}

func short(ids []recovery.BlobID) []string {
	var text []string
	for _, id := range ids {
		text = append(text, id.String()[:2])
	}
	return text
}

func (c *controls) Pause(ctx context.Context, paused bool) error {
	return c.tell(ctx, "pause %v", paused)
}

func (c *controls) Retry(ctx context.Context, ids []recovery.BlobID) (worker.RetryResult, error) {
	what := "all"
	if ids != nil {
		what = fmt.Sprint(short(ids))
	}
	return worker.RetryResult{Due: max(1, len(ids)), Busy: []recovery.BlobID{idOf(1)}, Unknown: []recovery.BlobID{}}, c.tell(ctx, "retry %s", what)
}

func (c *controls) PutBack(ctx context.Context, ids []recovery.BlobID) (worker.PutBackResult, error) {
	return worker.PutBackResult{
		Queued: len(ids), NotCertified: []recovery.BlobID{idOf(2)}, NotOwned: []recovery.BlobID{}, Refused: []recovery.BlobID{idOf(3)},
	}, c.tell(ctx, "put back %v", short(ids))
}

func (c *controls) Sync(ctx context.Context, id recovery.BlobID) (recovery.Outcome, error) {
	return recovery.Outcome{
		Result: recovery.Success, Peer: "http://peer-b.internal", Bytes: 4096,
		Covers: recovery.Covers{Total: 100, Owned: shards.Range(0, 39)},
	}, c.tell(ctx, "sync %v", short([]recovery.BlobID{id}))
}

func (c *controls) Explain(ctx context.Context, id recovery.BlobID) (worker.Explanation, error) {
	if id == idOf(0) { // nothing is known
		return worker.Explanation{ID: id, Shards: []worker.ExplainedShard{}, State: "unknown", Tries: []worker.Try{}, Liars: []string{}}, c.tell(ctx, "explain")
	}
	yes, at := true, time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	size, epoch := int64(4096), uint32(7)
	return worker.Explanation{
		ID: id, At: at, Stamp: &recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}, Certified: &yes,
		Row:            &worker.ExplainedRow{Size: &size, Encoding: "raw", CertifiedEpoch: 5, EndEpoch: &epoch, Gained: 412},
		OwnershipEpoch: &epoch, Shards: []worker.ExplainedShard{{Shard: 3, Owned: true, Stored: new(bool)}, {Shard: 77}},
		State: "parked", Why: "no peer has it",
		Entry: &recovery.Unsettled{
			ID: id, Size: recovery.SizeUnknown, State: recovery.Parked, Tries: 10, Attempts: 14,
			FirstFailed: at, NextTry: at, Reason: recovery.Absent, LastError: "no peer has it",
		},
		Tries: []worker.Try{{At: at, Outcome: recovery.Cancelled, Reason: recovery.Absent, Err: "no peer has it", Peers: []worker.PeerTry{
			{Peer: secretPeer, Reason: recovery.WrongBytes, Err: "its digest is another"},
		}}},
		Started: at, Liars: []string{secretPeer},
	}, c.tell(ctx, "explain")
}

func (c *controls) Shards() []worker.ShardProgress {
	certified, done := uint64(10), uint64(0)
	return []worker.ShardProgress{
		{Shard: 3, Certified: &certified, Done: &done, Unsettled: 2, Parked: 1},
		{Shard: 7},
	}
}

func (c *controls) History() []worker.RunEvent {
	return []worker.RunEvent{{
		At: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC), Run: 3, Decision: recovery.Discard, Why: "shard 7 wiped", From: recovery.MarkAt(idOf(0x20)),
	}}
}

func (c *controls) Limits() worker.Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

func (c *controls) SetLimits(ctx context.Context, l worker.Limits) error {
	if l.Concurrency < 1 || l.Concurrency > 4096 || l.ConcurrencyMax < 1 || l.ConcurrencyMax > 4096 || l.BytesInFlight < 1 || l.BytesInFlight > 1<<40 || l.BytesPerSecond < 0 {
		return fmt.Errorf("%w: %+v", worker.ErrLimits, l)
	}
	err := c.tell(ctx, "limits %d %d %d", l.Concurrency, l.BytesInFlight, l.BytesPerSecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = l
	return err
}

func (c *controls) ResetLimits(ctx context.Context) error { return c.tell(ctx, "default limits") }

func (c *controls) Level() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.level
}

func (c *controls) SetLevel(level string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.level = level
}

package statusapi

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// Every method asks what it says, over the socket, without a token.
func TestClientAsksEverything(t *testing.T) {
	cfg, _ := sampleConfig()
	c := cfg.Control.(*controls)
	dir := t.TempDir()
	servingUnix(t, newServer(t, cfg), dir)
	client := dial(t, dir)
	ctx := t.Context()
	same := cmp.Options{cmp.Comparer(func(a, b recovery.Mark) bool { return a == b }), cmp.Comparer(shards.Set.Equal)}
	expect := func(what string, want any) func(got any, err error) {
		return func(got any, err error) {
			t.Helper()
			if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", what, err, diff)
			}
		}
	}
	list, err := client.Shards(ctx)
	expect("shards", c.Shards())(list, err)
	history, err := client.History(ctx)
	expect("history", c.History())(history, err)

	explanation, _ := c.Explain(ctx, idOf(0x41))
	want := newBlobView(explanation)
	want.Explanation.Entry = nil // it is told once, as the list tells it
	blob, err := client.Explain(ctx, idOf(0x41))
	expect("explain", want)(blob, err)

	expect("pause", nil)(nil, client.Pause(ctx, true))
	expect("resume", nil)(nil, client.Pause(ctx, false))
	retried, err := client.RetryAll(ctx)
	expect("retry all", worker.RetryResult{Due: 1, Busy: []recovery.BlobID{idOf(1)}, Unknown: []recovery.BlobID{}})(retried, err)
	five := int64(5)
	limits, err := client.SetLimits(ctx, LimitsChange{BytesPerSecond: &five})
	expect("limits", *limitsView(worker.Limits{Concurrency: 64, ConcurrencyMax: 1_024, BytesInFlight: 256 << 20, BytesPerSecond: 5}))(limits, err)
	limits, err = client.ResetLimits(ctx)
	expect("default limits", *limitsView(c.Limits()))(limits, err)
	expect("log level", nil)(nil, client.SetLogLevel(ctx, "error"))
	expect("log level set", "error")(c.Level(), nil)
	outcome, err := client.Sync(ctx, idOf(0x41), time.Minute)
	expect("sync", recovery.Outcome{
		Result: recovery.Success, Peer: "http://peer-b.internal", Bytes: 4096, Covers: recovery.Covers{Total: 100, Owned: shards.Range(0, 39)},
	})(outcome, err)

	told := []string{"explain", "explain", "pause true", "pause false", "retry all", "limits 64 268435456 5", "default limits", "sync [41]"}
	if diff := cmp.Diff(told, c.list()); diff != "" {
		t.Error(diff)
	}
}

// Any number of ids can be given; none is not all.
func TestClientSplitsLongLists(t *testing.T) {
	cfg, _ := sampleConfig()
	c := cfg.Control.(*controls)
	dir := t.TempDir()
	servingUnix(t, newServer(t, cfg), dir)
	client := dial(t, dir)
	var ids []recovery.BlobID
	for i := range 2*idsAtOnce + 1 {
		ids = append(ids, recovery.BlobID{byte(i >> 8), byte(i)})
	}
	retried, err := client.Retry(t.Context(), ids)
	if err != nil || retried.Due != len(ids) || len(retried.Busy) != 3 || len(c.list()) != 3 {
		t.Errorf("%+v, %v, after %d requests", retried, err, len(c.list()))
	}
	repaired, err := client.Repair(t.Context(), ids)
	if err != nil || repaired.Queued != len(ids) || len(repaired.NotCertified) != 3 || len(repaired.Refused) != 3 {
		t.Errorf("%+v, %v", repaired, err)
	}
	before := len(c.list())
	if retried, err := client.Retry(t.Context(), nil); err != nil || retried.Due != 0 || len(c.list()) != before {
		t.Errorf("no ids: %+v, %v, and the worker was told %v", retried, err, c.list()[before:])
	}
}

// What a caller has to tell apart has an error of its own.
func TestClientErrors(t *testing.T) {
	cfg, w := sampleConfig()
	dir := t.TempDir()
	servingUnix(t, newServer(t, Config{Worker: w}), dir)
	client := dial(t, dir)
	if err := client.Pause(t.Context(), true); !errors.Is(err, ErrNotOffered) || errors.Is(err, ErrNotYet) {
		t.Errorf("got %v, want ErrNotOffered", err)
	}
	cfg.Control.(*controls).stuck = make(chan struct{})
	dir = t.TempDir()
	servingUnix(t, newServer(t, cfg), dir)
	if _, err := dial(t, dir).Sync(t.Context(), idOf(1), time.Millisecond); !errors.Is(err, ErrNotYet) {
		t.Errorf("got %v, want ErrNotYet", err)
	}
	var refused *APIError
	if _, err := dial(t, dir).SetLimits(t.Context(), LimitsChange{}); !errors.As(err, &refused) || refused.Code != 400 {
		t.Errorf("no limits: %v", err)
	}
}

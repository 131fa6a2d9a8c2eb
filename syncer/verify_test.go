package syncer

import (
	"bytes"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// sinkOver returns a sink for a raw blob of the given bytes.
func sinkOver(t testing.TB, data []byte) (*pieceSink, *memDraft) {
	t.Helper()
	p := Piece{Blob: rawBlob(data)}
	judge, err := contentVerifier{}.Begin(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	store := newWorld(t).memStore
	d, err := store.Create(t.Context(), p, judge.Size())
	if err != nil {
		t.Fatal(err)
	}
	return newSink(d, judge, new(meter), new(atomic.Uint64)), d.(*memDraft)
}

func TestSinkJudges(t *testing.T) {
	for name, c := range map[string]struct {
		blob    string
		writes  []string
		onWrite error // of the last one
		verify  error
		kept    string
	}{
		"right":                 {"hello", []string{"hello"}, nil, nil, "hello"},
		"right in parts":        {"hello", []string{"he", "", "llo"}, nil, nil, "hello"},
		"empty":                 {"", nil, nil, nil, ""},
		"short":                 {"hello", []string{"hell"}, nil, ErrWrongBytes, "hell"},
		"nothing":               {"hello", nil, nil, ErrWrongBytes, ""},
		"wrong":                 {"hello", []string{"jello"}, nil, ErrWrongBytes, "jello"},
		"one byte too long":     {"hello", []string{"hello", "!"}, nil, ErrWrongBytes, "hello"},
		"in one write":          {"hello", []string{"hello!"}, nil, ErrTooLong, "hello"},
		"far too long":          {"hello", []string{"hello world"}, ErrTooLong, ErrTooLong, "hello"},
		"endless":               {"hello", []string{"hello", "!", "!"}, ErrTooLong, ErrWrongBytes, "hello"},
		"something for nothing": {"", []string{"<html>"}, ErrTooLong, ErrWrongBytes, ""},
	} {
		t.Run(name, func(t *testing.T) {
			sink, draft := sinkOver(t, []byte(c.blob))
			var err error
			for _, w := range c.writes {
				_, err = sink.Write([]byte(w))
			}
			if !errors.Is(err, c.onWrite) {
				t.Errorf("the last write: %v, want %v", err, c.onWrite)
			}
			if err := sink.Verify(); !errors.Is(err, c.verify) {
				t.Errorf("verify: %v, want %v", err, c.verify)
			}
			if string(draft.data) != c.kept {
				t.Errorf("the draft has %q, want %q", draft.data, c.kept)
			}
			if sink.Written() > int64(len(c.blob))+1 {
				t.Errorf("%d bytes taken of a piece of %d", sink.Written(), len(c.blob))
			}
			if err := errors.Join(sink.Reset(), send(sink, []byte(c.blob))); err != nil {
				t.Errorf("the next try: %v", err)
			}
			if n := sink.meter.bytes.Load(); n != int64(len(c.blob)) {
				t.Errorf("%d bytes are metered after the next try, want %d", n, len(c.blob))
			}
		})
	}
}

// Whatever way bytes are cut, and whatever came before a Reset, only the right
// ones are accepted, and what was accepted is what the draft has.
func TestSinkAcceptsOnlyTheBlob(t *testing.T) {
	evidence.Property(t, "syncer: only the right bytes are accepted, however they are cut", func(rt *rapid.T) {
		want := rapid.SliceOf(rapid.Byte()).Draw(rt, "want")
		got := want
		if rapid.Bool().Draw(rt, "lie") {
			got = rapid.SliceOf(rapid.Byte()).Draw(rt, "got")
		}
		sink, draft := sinkOver(t, want)
		if _, err := sink.Write(rapid.SliceOf(rapid.Byte()).Draw(rt, "before")); err == nil {
			_ = sink.Verify()
		}
		if err := sink.Reset(); err != nil {
			rt.Fatal(err)
		}
		for rest := got; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "n")
			if _, err := sink.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
		}
		if ok := sink.Verify() == nil; ok != bytes.Equal(got, want) {
			rt.Fatalf("accepted: %v", ok)
		} else if ok && !bytes.Equal(draft.data, want) {
			rt.Fatalf("the draft has %x, want %x", draft.data, want)
		}
	})
}

func TestSinkSticksToTheStoresRefusal(t *testing.T) {
	sink, draft := sinkOver(t, []byte("hello"))
	draft.store.failWrite = func(Piece, int) error { return syscall.ENOSPC }
	if _, err := sink.Write([]byte("hello")); !errors.Is(err, ErrStore) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write: %v", err)
	}
	draft.store.failWrite = nil
	_, again := sink.Write([]byte("hello"))
	for _, err := range []error{again, sink.Reset(), sink.Verify()} {
		if !errors.Is(err, ErrStore) {
			t.Errorf("after the refusal: %v", err)
		}
	}
}

func TestVerifierFor(t *testing.T) {
	custom := contentVerifier{}
	cfg := Config{Verifiers: map[recovery.Encoding]Verifier{recovery.Walrus: custom}}
	for name, c := range map[string]struct {
		change func(*Request)
		ok     bool
	}{
		"raw":             {func(*Request) {}, true},
		"raw, striped":    {func(r *Request) { r.Placement = shards.Striped }, false},
		"raw, no size":    {func(r *Request) { r.Blob.Size = recovery.SizeUnknown }, false},
		"no placement":    {func(r *Request) { r.Placement = 0 }, false},
		"striped":         {func(r *Request) { r.Blob.Encoding = recovery.Striped }, false},
		"no encoding":     {func(r *Request) { r.Blob.Encoding = 0 }, false},
		"host's verifier": {func(r *Request) { r.Blob.Encoding, r.Blob.Size = recovery.Walrus, -1 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			req := ask(1, 0)
			c.change(&req)
			v, err := cfg.verifierFor(req)
			if (err == nil) != c.ok || (v != nil) != c.ok || (err != nil && !errors.Is(err, ErrUnverifiable)) {
				t.Errorf("verifier %v, error %v", v, err)
			}
		})
	}
}

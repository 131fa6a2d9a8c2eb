package peer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub is a peer that does what a test says.
type stub struct {
	name  string
	get   func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error)
	probe func(ctx context.Context) error
}

func (s *stub) Name() string { return s.name }
func (s *stub) Close() error { return nil }

func (s *stub) Get(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
	return s.get(ctx, p, from)
}

func (s *stub) Probe(ctx context.Context) error {
	if s.probe == nil {
		return nil
	}
	return s.probe(ctx)
}

// getFunc is what a stub answers.
type getFunc = func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error)

// serve answers with content after a delay.
func serve(content []byte, delay time.Duration) getFunc {
	return func(ctx context.Context, _ syncer.Piece, _ peer.Resume) (peer.Body, error) {
		if err := pause(ctx, delay); err != nil {
			return peer.Body{}, err
		}
		return peer.Body{ReadCloser: io.NopCloser(bytes.NewReader(content)), Length: int64(len(content))}, nil
	}
}

// fail answers with an error after a delay.
func fail(reason recovery.Reason, rest, delay time.Duration) getFunc {
	return func(ctx context.Context, _ syncer.Piece, _ peer.Resume) (peer.Body, error) {
		if err := pause(ctx, delay); err != nil {
			return peer.Body{}, err
		}
		return peer.Body{}, &peer.Error{Reason: reason, Rest: rest, Err: errors.New("stub: " + string(reason))}
	}
}

// pause waits in the time of a synctest bubble.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drip is a body that gives n bytes at a time, each after a delay.
type drip struct {
	ctx   context.Context
	left  []byte
	n     int
	delay time.Duration
}

func (d *drip) Close() error { return nil }

func (d *drip) Read(b []byte) (int, error) {
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	if err := pause(d.ctx, d.delay); err != nil {
		return 0, err
	}
	n := copy(b, d.left[:min(d.n, len(d.left))])
	d.left = d.left[n:]
	return n, nil
}

// dripping answers with a drip.
func dripping(content []byte, n int, delay time.Duration) getFunc {
	return func(ctx context.Context, _ syncer.Piece, _ peer.Resume) (peer.Body, error) {
		return peer.Body{ReadCloser: &drip{ctx, content, n, delay}, Length: int64(len(content))}, nil
	}
}

func reasonOf(err error) recovery.Reason {
	var failed *syncer.FetchError
	if !errors.As(err, &failed) {
		return ""
	}
	return failed.Reason()
}

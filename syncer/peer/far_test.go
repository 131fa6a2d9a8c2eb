package peer_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

// far is a peer that has one piece and serves it from where it is asked to, in its own
// way. Its zero value but for name and content is an honest one.
type far struct {
	name      string
	content   []byte // wrong where it lies
	validator string
	cut       int           // an answer ends with an error after so many bytes; 0: never
	cuts      int           // only so many answers are cut; 0: all
	noRange   bool          // it begins at zero whatever it is asked for
	refuses   bool          // it fails when asked for a rest
	noLength  bool          // it does not say how much follows
	err       error         // all it ever answers
	answers   time.Duration // until an answer begins
	stall     time.Duration // before each read but the first of an answer
	every     int           // each so many-th request takes much longer to answer, and to read from
	slow      time.Duration // so much
	chunk     int           // bytes a read; 0: as many as asked for

	mu    sync.Mutex
	asked []peer.Resume
	open  int // bodies
}

func (f *far) Name() string                { return f.name }
func (f *far) Close() error                { return nil }
func (f *far) Probe(context.Context) error { return nil }

func (f *far) Get(ctx context.Context, _ syncer.Piece, from peer.Resume) (peer.Body, error) {
	f.mu.Lock()
	f.asked = append(f.asked, from)
	n := len(f.asked)
	f.mu.Unlock()
	stall, answers := f.stall, f.answers
	if f.every > 0 && n%f.every == 0 {
		if n/f.every%2 == 0 {
			answers += f.slow
		} else {
			stall += f.slow
		}
	}
	if err := pause(ctx, answers); err != nil {
		return peer.Body{}, err
	}
	if f.err != nil {
		return peer.Body{}, f.err
	}
	offset := from.Offset
	switch {
	case offset > 0 && f.refuses:
		return peer.Body{}, peer.Errorf(recovery.PeerFailed, "status 416")
	case f.noRange, from.Validator != "" && from.Validator != f.validator, offset > int64(len(f.content)):
		offset = 0
	}
	b := &farBody{far: f, ctx: ctx, left: f.content[offset:], stall: stall, cut: -1}
	if f.cut > 0 && (f.cuts == 0 || n <= f.cuts) {
		b.cut = f.cut
	}
	length := int64(len(b.left))
	if f.noLength {
		length = -1
	}
	f.mu.Lock()
	f.open++
	f.mu.Unlock()
	return peer.Body{ReadCloser: b, Offset: offset, Length: length, Validator: f.validator}, nil
}

// seen returns the offsets that it was asked for.
func (f *far) seen() (offsets []int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.asked {
		offsets = append(offsets, r.Offset)
	}
	return offsets
}

type farBody struct {
	far   *far
	ctx   context.Context
	left  []byte
	stall time.Duration
	cut   int // bytes until it is cut; negative: never
	read  bool
	once  sync.Once
}

var errCut = errors.New("connection reset by peer")

func (b *farBody) Read(buf []byte) (int, error) {
	if b.read && (len(b.left) > 0 || b.far.noLength) { // the end is known beforehand, or waited for
		if err := pause(b.ctx, b.stall); err != nil {
			return 0, err
		}
	}
	b.read = true
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.far.chunk > 0 {
		buf = buf[:min(len(buf), b.far.chunk)]
	}
	if b.cut >= 0 {
		buf = buf[:min(len(buf), b.cut)]
	}
	if len(buf) == 0 {
		return 0, errCut
	}
	n := copy(buf, b.left)
	b.left = b.left[n:]
	if b.cut >= 0 {
		b.cut -= n
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *farBody) Close() error {
	b.once.Do(func() {
		b.far.mu.Lock()
		b.far.open--
		b.far.mu.Unlock()
	})
	return nil
}

func drawDelay(t *rapid.T) time.Duration {
	ms := rapid.SampledFrom([]int{0, 1, 1, 5, 50, 500}).Draw(t, "delay (ms)")
	return time.Duration(ms) * time.Millisecond
}

// drawFar draws a peer that need not be sound.
func drawFar(t *rapid.T, i int, content []byte) *far {
	f := &far{
		every: rapid.IntRange(0, 10).Draw(t, "every"), slow: drawDelay(t),
		name: "other " + strconv.Itoa(i), content: content, answers: drawDelay(t), stall: drawDelay(t), chunk: 300,
		validator: rapid.SampledFrom([]string{"", "v"}).Draw(t, "validator"),
		noRange:   rapid.Bool().Draw(t, "no range"), refuses: rapid.Bool().Draw(t, "refuses"), noLength: rapid.Bool().Draw(t, "no length"),
		cut: rapid.IntRange(0, len(content)).Draw(t, "cut"), cuts: rapid.IntRange(0, 3).Draw(t, "cuts"),
	}
	switch rapid.IntRange(0, 5).Draw(t, "fault") {
	case 0, 1:
		f.content = flip(content, rapid.IntRange(0, len(content)-1).Draw(t, "flipped"))
	case 2:
		f.content = content[:rapid.IntRange(0, len(content)-1).Draw(t, "short")]
	case 3:
		reason := rapid.SampledFrom([]recovery.Reason{recovery.Absent, recovery.PeerFailed, recovery.Unreachable}).Draw(t, "reason")
		f.err = peer.Errorf(reason, "stub: %s", reason)
	}
	return f
}

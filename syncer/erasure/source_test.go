package erasure

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/recoverd/recoverd/syncer"
)

// begun is a source of a piece of some bytes, with what it told.
type begun struct {
	*source
	piece []byte
	ready int
	liars []string
}

func newBegun(t *testing.T, size int) *begun {
	t.Helper()
	m, _, pieces := split(t, Code{1, 2}, blobOf(1, size))
	b := &begun{source: newSource(m, 0, &sync.Pool{New: func() any { return new(ring) }}), piece: pieces[0]}
	b.source.ready = func() { b.ready++ }
	b.source.wrong = func(peer string, _ error) { b.liars = append(b.liars, peer) }
	return b
}

// send writes bytes as a peer's, without a verdict.
func (b *begun) send(t *testing.T, peer string, data []byte) error {
	t.Helper()
	b.NotePeer(peer)
	if err := b.Reset(); err != nil {
		return err
	}
	_, err := b.Write(data)
	return err
}

// readAll reads as a rebuild does, and keeps what it read.
func (b *begun) readAll() (got []byte, err error) {
	for left := b.size; left > 0; {
		n := min(left, stripe)
		part, err := b.next(int(n))
		if err != nil {
			return got, err
		}
		got = append(got, part...)
		left -= n
	}
	if _, err := b.Read(nil); !errors.Is(err, io.EOF) {
		return got, err
	}
	return got, nil
}

// largeSize is three windows.
const largeSize = 3 * window

// A piece that goes on from another peer in its middle is read without a seam.
func TestSourceGoesOnFromAnotherPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBegun(t, largeSize)
		ended := make(chan error)
		go func() {
			err := b.send(t, "a", b.piece[:window+1_000]) // then it is cut off
			err = errors.Join(err, b.send(t, "b", b.piece), b.Verify())
			b.end(err)
			ended <- err
		}()
		got, err := b.readAll()
		if err != nil || !bytes.Equal(got, b.piece) || b.ready != 1 || len(b.liars) > 0 {
			t.Errorf("%d bytes were read, ready %d times, liars %v: %v", len(got), b.ready, b.liars, err)
		}
		must(t, <-ended)
	})
}

// Hazard 68: if what was read of a piece turns out to be another's, the rebuild is told,
// whether the first peer or the second lied.
func TestALyingPieceIsFoundInMidStream(t *testing.T) {
	for name, liar := range map[string]int{"the first": 0, "the second": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBegun(t, largeSize)
				sent := [2][]byte{bytes.Clone(b.piece), bytes.Clone(b.piece)}
				sent[liar][77] ^= 1
				ended := make(chan error)
				go func() {
					err := b.send(t, "a", sent[0][:window+1_000])
					if err == nil {
						err = b.send(t, "b", sent[1])
					}
					b.end(err)
					ended <- err
				}()
				if _, err := b.readAll(); !errors.Is(err, errTainted) {
					t.Errorf("the reader got %v", err)
				}
				if err := <-ended; !errors.Is(err, errTainted) {
					t.Errorf("the writer got %v", err)
				}
			})
		})
	}
}

// A lie that is complete is laid to its peer, and the piece is not fetched in vain.
func TestSourceRefusesToBeginAgainAfterALie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBegun(t, largeSize)
		lie := bytes.Clone(b.piece)
		lie[largeSize-1] ^= 1
		ended := make(chan error)
		go func() {
			err := b.send(t, "a", lie)
			if wrong := b.Verify(); !errors.Is(wrong, syncer.ErrWrongBytes) {
				t.Errorf("the lie is %v", wrong)
			}
			if err = errors.Join(err, b.Reset()); !errors.Is(err, errTainted) {
				t.Errorf("begun again: %v", err)
			}
			b.end(err)
			ended <- nil
		}()
		if _, err := b.readAll(); !errors.Is(err, errTainted) {
			t.Errorf("the reader got %v", err)
		}
		<-ended
		if len(b.liars) != 1 || b.liars[0] != "a" {
			t.Errorf("the liars are %v", b.liars)
		}
	})
}

// A piece that fits into the window is not shown before it was proven.
func TestSmallSourceIsProvenFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBegun(t, window)
		lie := bytes.Clone(b.piece)
		lie[0] ^= 1
		must(t, b.send(t, "a", lie))
		if err := b.Verify(); !errors.Is(err, syncer.ErrWrongBytes) || b.ready > 0 {
			t.Errorf("a lie: %v, ready %d times", err, b.ready)
		}
		must(t, b.send(t, "b", b.piece))
		early := make(chan error)
		go func() {
			_, err := b.next(stripe)
			early <- err
		}()
		synctest.Wait()
		select {
		case <-early:
			t.Error("it was read before the fetch has ended")
		default:
		}
		must(t, b.Verify())
		if b.ready > 0 {
			t.Error("it may be read before the fetch has ended")
		}
		b.end(nil)
		must(t, <-early)
		b.lent = 0 // as if nothing had been read
		if got, err := b.readAll(); err != nil || !bytes.Equal(got, b.piece) || b.ready != 1 {
			t.Errorf("%d bytes were read, ready %d times: %v", len(got), b.ready, err)
		}
	})
}

// Hazard 70: a body without an end costs one byte more than the piece.
func TestSourceOfAnEndlessBody(t *testing.T) {
	for _, size := range []int{0, 1, window} {
		b := newBegun(t, size)
		if err := b.send(t, "a", append(bytes.Clone(b.piece), make([]byte, 10)...)); !errors.Is(err, syncer.ErrTooLong) {
			t.Errorf("ten bytes too many after %d: %v", size, err)
		}
		if err := b.Verify(); !errors.Is(err, syncer.ErrTooLong) || b.Written() != int64(size)+1 {
			t.Errorf("verified after %d bytes: %v", b.Written(), err)
		}
		_ = b.send(t, "a", append(bytes.Clone(b.piece), 0))
		if err := b.Verify(); !errors.Is(err, syncer.ErrWrongBytes) {
			t.Errorf("one byte too many after %d: %v", size, err)
		}
	}
}

// Who is dropped is let go, wherever it waits.
func TestDroppedSourceLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBegun(t, largeSize)
		ended := make(chan error)
		go func() { ended <- b.send(t, "a", b.piece) }()
		synctest.Wait() // its window is full
		b.end(errDropped)
		if err := <-ended; !errors.Is(err, errDropped) {
			t.Errorf("the writer got %v", err)
		}
		empty := newBegun(t, largeSize)
		go func() {
			_, err := empty.next(stripe)
			ended <- err
		}()
		synctest.Wait()
		empty.end(errDropped)
		if err := <-ended; !errors.Is(err, errDropped) {
			t.Errorf("the reader got %v", err)
		}
	})
}

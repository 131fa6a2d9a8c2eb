package syncer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const totalShards = 4

// everything covers all shards of the test network.
func everything() recovery.Covers {
	return recovery.Covers{Total: totalShards, Owned: shards.Range(0, totalShards-1)}
}

// content is the bytes of test blob n.
func content(n int) []byte { return []byte(strings.Repeat(fmt.Sprintf("blob %d ", n), 3)) }

func rawBlob(data []byte) recovery.Blob {
	id := sha256.Sum256(data)
	return recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id}
}

// ask requests test blob n for a run.
func ask(run uint64, n int) Request {
	return Request{Run: run, Blob: rawBlob(content(n)), Covers: everything(), Placement: shards.Hashed}
}

// world is a store and a fetcher in memory, with a switch for each thing that
// can go wrong.
type world struct {
	*memStore
	*memFetcher
}

// reporter is the part of a test that complains.
type reporter interface {
	Errorf(format string, args ...any)
}

func newWorld(t reporter) *world {
	return &world{
		memStore:   &memStore{t: t, pieces: map[pieceKey]*memDraft{}, volumes: map[uint32]*memVolume{}},
		memFetcher: &memFetcher{byID: map[recovery.BlobID][]byte{}, asked: map[recovery.BlobID]int{}},
	}
}

// handler returns a Handler over the world; the test closes it.
func (w *world) handler(t testing.TB, change func(*Config)) *Handler {
	t.Helper()
	cfg := Config{Store: w.memStore, Fetcher: w.memFetcher}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve makes peers have test blobs 0 to n-1.
func (w *world) serve(n int) {
	for i := range n {
		w.byID[rawBlob(content(i)).ID] = content(i)
	}
}

func wait(t testing.TB, w *Watch) recovery.Outcome {
	t.Helper()
	o, err := w.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func wantCancelled(t testing.TB, o recovery.Outcome, reason recovery.Reason, definite bool) {
	t.Helper()
	if o.Result != recovery.Cancelled || o.Reason != reason || o.Definite != definite {
		t.Errorf("outcome is %v (%s, definite %v): %s; want cancelled (%s, definite %v)",
			o.Result, o.Reason, o.Definite, o.Err, reason, definite)
	}
}

type pieceKey struct {
	id       recovery.BlobID
	shard    uint32
	manifest bool
}

func keyOf(p Piece) pieceKey { return pieceKey{p.Blob.ID, p.Shard, p.Manifest} }

// memStore keeps pieces in memory and knows which of them would survive a power
// cut. It fails the test where the order of I5 is broken.
type memStore struct {
	t reporter

	// Each, if set, decides an operation's error.
	failHas, failCreate, failSeal, failPublish func(Piece) error
	failWrite                                  func(p Piece, written int) error
	flush                                      func(v *memVolume) error
	volumeOf                                   func(shard uint32) uint32 // default: one for all
	mayReplace                                 bool                      // what is published already

	mu      sync.Mutex
	pieces  map[pieceKey]*memDraft // under their final names
	volumes map[uint32]*memVolume
	drafts  int // created and not ended
	unnamed int // the most drafts that were sealed and not published at one time
	sealed  int
	flushes int
}

func check(f func(Piece) error, p Piece) error {
	if f == nil {
		return nil
	}
	return f(p)
}

func (s *memStore) Has(_ context.Context, p Piece) (bool, error) {
	if err := check(s.failHas, p); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pieces[keyOf(p)] != nil, nil
}

func (s *memStore) Create(_ context.Context, p Piece, size int64) (Draft, error) {
	if err := check(s.failCreate, p); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drafts++
	return &memDraft{store: s, piece: p, size: size, volume: s.volume(p.Shard)}, nil
}

func (s *memStore) volume(shard uint32) *memVolume {
	n := uint32(0)
	if s.volumeOf != nil {
		n = s.volumeOf(shard)
	}
	if s.volumes[n] == nil {
		s.volumes[n] = &memVolume{store: s, number: n}
	}
	return s.volumes[n]
}

// durable reports whether the blob would be there, whole, after a power cut.
func (s *memStore) durable(b recovery.Blob, shard uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.pieces[pieceKey{id: b.ID, shard: shard}]
	return d != nil && d.dataDurable && d.nameDurable
}

// openDrafts counts the drafts that were neither published nor discarded.
func (s *memStore) openDrafts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drafts
}

type memDraft struct {
	store                    *memStore
	piece                    Piece
	size                     int64
	volume                   *memVolume
	data                     []byte
	sealed, published, ended bool
	dataDurable, nameDurable bool
}

func (d *memDraft) Write(p []byte) (int, error) {
	if d.store.failWrite != nil {
		if err := d.store.failWrite(d.piece, len(d.data)); err != nil {
			return 0, err
		}
	}
	if int64(len(d.data)+len(p)) > d.size {
		d.store.t.Errorf("a draft of %d bytes gets %d", d.size, len(d.data)+len(p))
	}
	d.data = append(d.data, p...)
	return len(p), nil
}

func (d *memDraft) Reset() error { d.data = d.data[:0]; return nil }

func (d *memDraft) Seal() error {
	if err := check(d.store.failSeal, d.piece); err != nil {
		return err
	}
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.sealed = true
	d.store.sealed++
	d.store.unnamed = max(d.store.unnamed, d.store.sealed)
	return nil
}

func (d *memDraft) Volume() Volume { return d.volume }

func (d *memDraft) Publish() error {
	if err := check(d.store.failPublish, d.piece); err != nil {
		return err
	}
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	switch key := keyOf(d.piece); {
	case !d.sealed || !d.dataDurable || d.ended:
		s.t.Errorf("published a draft: sealed %v, durable %v, ended %v", d.sealed, d.dataDurable, d.ended)
	case s.pieces[key] != nil && !s.mayReplace:
		s.t.Errorf("published %v twice", key)
	default:
		s.pieces[key] = d
	}
	d.end()
	d.published = true
	return nil
}

func (d *memDraft) Discard() error {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if !d.ended {
		d.end()
	}
	return nil
}

func (d *memDraft) end() {
	d.ended = true
	d.store.drafts--
	if d.sealed {
		d.store.sealed--
	}
}

type memVolume struct {
	store  *memStore
	number uint32
}

func (v *memVolume) Flush(data, names []Draft) error {
	s := v.store
	s.mu.Lock()
	s.flushes++
	s.mu.Unlock()
	if s.flush != nil {
		if err := s.flush(v); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range data {
		d := d.(*memDraft)
		if d.volume != v {
			s.t.Errorf("volume %d flushes a draft of volume %d", v.number, d.volume.number)
		}
		d.dataDurable = true
	}
	for _, d := range names {
		d.(*memDraft).nameDurable = true
	}
	return nil
}

// memFetcher serves what it has, from a peer named "p1".
type memFetcher struct {
	// instead, if set, takes the place of serving.
	instead func(ctx context.Context, p Piece, sink Sink) (string, error)

	byID map[recovery.BlobID][]byte // does not change while something is asked

	mu    sync.Mutex
	asked map[recovery.BlobID]int
}

var errNotHere = errors.New("404")

func (f *memFetcher) Fetch(ctx context.Context, p Piece, sink Sink) (string, error) {
	f.mu.Lock()
	f.asked[p.Blob.ID]++
	f.mu.Unlock()
	if f.instead != nil {
		return f.instead(ctx, p, sink)
	}
	data, ok := f.byID[p.Blob.ID]
	if !ok {
		return "", &FetchError{Answers: []PeerAnswer{{Peer: "p1", Reason: recovery.Absent, Err: errNotHere}}}
	}
	return "p1", send(sink, data)
}

// send is what a well-behaved fetcher does with the bytes of a peer.
func send(sink Sink, data []byte) error {
	if err := sink.Reset(); err != nil {
		return err
	}
	if _, err := sink.Write(data); err != nil {
		return err
	}
	return sink.Verify()
}

// pause waits for d in the time of the test, or for ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

func TestFetch(t *testing.T) {
	from := newArchive(t)
	f1 := full(t, from, 3000)
	i1 := over(t, from, f1, 3500)
	set := fullOf(t, from, synth(t, 3200, 1), archive.CreateOptions{MaxChunk: snapshot.MinChunk})
	s := serve(t, from, nil)

	// The incremental leads further than the newest full one.
	a := newArchive(t)
	r := fetchAll(t, config(a, s))
	has(t, a, from, f1, i1)
	if r.Route.Position() != 3500 || r.Fetched != f1.Size+i1.Size || r.Reused != 0 || r.Fetched != s.sent.Load() {
		t.Errorf("%+v; %d bytes were sent", r, s.sent.Load())
	}
	if diff := cmp.Diff([]archive.Entry{f1, i1}, r.Route.Entries()); diff != "" {
		t.Error(diff)
	}
	h, err := a.OpenState(t.Context(), r.Route)
	if err != nil || h.Close() != nil {
		t.Fatal(err)
	}

	// A target between; what is here is not fetched again.
	c := config(a, s)
	c.Target = 3200
	r = fetchAll(t, c)
	has(t, a, from, f1, i1, set)
	if r.Route.Position() != 3200 || r.Fetched != set.Size || set.Chunks < 2 {
		t.Errorf("%+v", r)
	}
	sent := s.sent.Load()
	if r = fetchAll(t, c); r.Fetched != 0 || s.sent.Load() != sent {
		t.Errorf("fetched again: %+v", r)
	}
}

func TestFetchReasons(t *testing.T) {
	from := newArchive(t)
	f1 := full(t, from, 3000)
	s := serve(t, from, nil)
	a := newArchive(t)
	c := config(a, s)

	c.Target = 2999
	var nothing *archive.NothingError
	if err := fails(t, c); !errors.As(err, &nothing) || nothing.Oldest().Name != f1.Name || err.Unanswered() != 0 {
		t.Errorf("%v", err)
	}
	c.Target = 3001
	var missing *archive.MissingError
	if err := fails(t, c); !errors.As(err, &missing) || missing.First != 3001 {
		t.Errorf("%v", err)
	}
	c.Covers = func(from uint64) bool { return from >= 3010 }
	if err := fails(t, c); !errors.As(err, &missing) || missing.First != 3001 {
		t.Errorf("%v", err)
	}
	c.Target = archive.Latest
	if err := fails(t, c); !errors.As(err, &missing) || missing.First != 3001 {
		t.Errorf("%v", err)
	}
	has(t, a, from)
	c.Covers = func(from uint64) bool { return from >= 2990 }
	fetchAll(t, c)
	has(t, a, from, f1)
}

func TestFetchFromNobody(t *testing.T) {
	s := serve(t, newArchive(t), nil)
	a := newArchive(t)
	var nothing *archive.NothingError
	if err := fails(t, config(a, s)); !errors.As(err, &nothing) {
		t.Errorf("from an empty one: %v", err)
	}
	s.Close()
	err := fails(t, config(a, s))
	if !errors.Is(err, ErrNoAnswer) || err.Unanswered() != 1 || !strings.Contains(err.Error(), s.URL) {
		t.Errorf("from one that is down: %v", err)
	}
	for _, peers := range [][]string{nil, {""}, {"ftp://host"}, {"http://"}, {"http://host/?x=y"}, {"http://host/#x"}, make([]string, 65)} {
		c := config(a)
		c.Peers = peers
		if _, err := Fetch(t.Context(), c); err == nil {
			t.Errorf("%q are accepted", peers)
		}
	}
	c := config(a, s)
	c.Agree = 2
	if err := c.Validate(); err == nil {
		t.Error("one peer is two")
	}
	c.Peers = append(c.Peers, s.URL+"/")
	if err := c.Validate(); err == nil {
		t.Error("one peer has two voices")
	}
}

// A peer that breaks off in the middle is replaced by the next, which goes on
// from there.
func TestFailoverInTheMiddle(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 10_000)
	broken := serve(t, from, nil)
	broken.before = func(w http.ResponseWriter, r *http.Request) bool {
		if isList(r) {
			return false
		}
		if broken.sent.Load() > 0 {
			panic(http.ErrAbortHandler)
		}
		content, err := os.ReadFile(filepath.Join(from.Dir(), filepath.Base(r.URL.Path)))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Range", contentRange(0, e.Size-1, e.Size))
		w.Header().Set("Content-Length", itoa(e.Size))
		w.WriteHeader(206)
		n, _ := w.Write(content[:3*piece+100])
		broken.sent.Add(int64(n))
		panic(http.ErrAbortHandler)
	}
	good := serve(t, from, nil)
	a := newArchive(t)
	r := fetchAll(t, config(a, broken, good))
	has(t, a, from, e)
	if r.Peers[0].Bytes+r.Peers[1].Bytes != e.Size || r.Peers[0].Bytes > 3*piece || r.Peers[0].Bytes == 0 || good.sent.Load() != r.Peers[1].Bytes {
		t.Errorf("%+v, of %d bytes; %d were sent", r.Peers, e.Size, good.sent.Load())
	}
	if r.Peers[0].Err == nil || r.Peers[0].Lied || r.Peers[1].Err != nil {
		t.Errorf("%+v", r.Peers)
	}
}

// A peer that breaks off again and again, but brings something each time, is
// kept.
func TestPeerThatStumbles(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 10_000)
	s := serve(t, from, nil)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if isList(r) {
			return false
		}
		content, err := os.ReadFile(filepath.Join(from.Dir(), filepath.Base(r.URL.Path)))
		if err != nil {
			t.Error(err)
		}
		var first, last int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Range", contentRange(first, last, e.Size))
		w.Header().Set("Content-Length", itoa(last+1-first))
		w.WriteHeader(206)
		n, _ := w.Write(content[first:min(last+1, first+piece+piece/2)])
		s.sent.Add(int64(n))
		if first+int64(n) <= last {
			panic(http.ErrAbortHandler)
		}
		return true
	}
	a := newArchive(t)
	c := config(a, s)
	c.Rounds = 1
	if r := fetchAll(t, c); r.Fetched != e.Size || r.Peers[0].Lied {
		t.Errorf("%+v", r)
	}
	has(t, a, from, e)
}

// A fetch that was cancelled goes on with what has arrived, and gets only the
// rest.
func TestCancelledFetchGoesOn(t *testing.T) {
	from := newArchive(t)
	e := fullOf(t, from, synth(t, 10_000, 1), archive.CreateOptions{MaxChunk: 300 << 10})
	s := serve(t, from, nil)
	a := newArchive(t)
	kept := int64(0)
	for done := int64(0); ; {
		ctx, cancel := context.WithCancel(t.Context())
		c := config(a, s)
		c.Progress = func(p Progress) {
			if p.Total != e.Size || p.Name != e.Name || p.Peer != s.URL || p.Done > p.Total {
				t.Errorf("%+v", p)
			}
			if done = p.Done; p.Done-p.Reused > 2*piece {
				cancel()
			}
		}
		r, err := Fetch(ctx, c)
		cancel()
		if err == nil {
			if r.Reused != kept || r.Fetched != e.Size-kept {
				t.Errorf("reused %d of %d: %+v", kept, e.Size, r)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || len(entries(t, a)) != 0 {
			t.Fatal(err)
		}
		if done <= kept {
			t.Fatalf("no progress: %d, then %d", kept, done)
		}
		kept = done
	}
	if kept == 0 || e.Chunks < 2 {
		t.Error("it was never cancelled")
	}
	has(t, a, from, e)
}

// Hazard 57: a torn piece is fetched again, and pieces that are right are used
// whatever they were fetched for: by digest, not by name.
func TestChunkReuseByFileName(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 10_000)
	s := serve(t, from, nil)
	raw, err := os.ReadFile(filepath.Join(from.Dir(), e.Files()[0].String()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(raw []byte) []byte
		want int64 // bytes to be fetched
	}{
		"all there":      {func(b []byte) []byte { return b }, 0},
		"a flipped bit":  {func(b []byte) []byte { b[3*piece+5] ^= 1; return b }, piece},
		"two of them":    {func(b []byte) []byte { b[5] ^= 1; b[5*piece] ^= 1; return b }, 2 * piece},
		"a hole":         {func(b []byte) []byte { copy(b[piece:2*piece], make([]byte, piece)); return b }, piece},
		"cut in a piece": {func(b []byte) []byte { return b[:2*piece+7] }, e.Size - 2*piece},
		"cut to nothing": {func(b []byte) []byte { return nil }, e.Size},
		"too long":       {func(b []byte) []byte { return append(b, "and more"...) }, 0},
		"another file":   {func(b []byte) []byte { return make([]byte, len(b)) }, e.Size},
	} {
		a := newArchive(t)
		part, err := a.TakePart(e.Name, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = os.WriteFile(part.Path(e.Files()[0]), c.edit(slices.Clone(raw)), 0o644)
		if err = errors.Join(err, part.Keep()); err != nil {
			t.Fatal(err)
		}
		before := s.sent.Load()
		r := fetchAll(t, config(a, s))
		if r.Fetched != c.want || s.sent.Load()-before != c.want || r.Reused != e.Size-c.want {
			t.Errorf("%s: fetched %d, %d were sent, want %d", name, r.Fetched, s.sent.Load()-before, c.want)
		}
		has(t, a, from, e)
	}
}

// A peer's tip moves while we fetch: what was chosen stays chosen as long as it
// can be had and the events go on from it.
func TestTipMoves(t *testing.T) {
	for name, c := range map[string]struct {
		prune  bool   // the peer removes what is being fetched
		covers uint64 // the first position that events go on from, once it has moved
		want   string
	}{
		"and the old one stays":             {false, 0, "4000"},
		"and the old one goes":              {true, 0, "4200"},
		"and events no longer go on":        {false, 4050, "4000 4000-4100"},
		"and events begin only at its last": {false, 4150, "4000 4200"},
	} {
		from := newArchive(t)
		e := full(t, from, 4000)
		s := serve(t, from, nil)
		moved := atomic.Bool{}
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if isList(r) || moved.Swap(true) {
				return false
			}
			// In the middle of the answer to the first request for a file.
			over(t, from, e, 4100)
			full(t, from, 4200)
			if c.prune {
				if _, err := from.Prune(t.Context(), archive.Policy{Fulls: 1, Increments: -1}); err != nil {
					t.Error(err)
				}
			}
			return false
		}
		a := newArchive(t)
		cfg := config(a, s)
		cfg.Covers = func(from uint64) bool { return !moved.Load() || from >= c.covers }
		r := fetchAll(t, cfg)
		var got []string
		for _, e := range entries(t, a) {
			got = append(got, strings.TrimSuffix(e.Name.String()[5:], "-"+e.Digest.String()))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %s; %+v", name, got, c.want, r)
		}
		if all := entries(t, a); r.Route.Position() != all[len(all)-1].Position || len(dir(t, a.Dir())) != len(all) {
			t.Errorf("%s: at %d, %q", name, r.Route.Position(), dir(t, a.Dir()))
		}
		if total := int64(0); !c.prune {
			for _, e := range entries(t, a) {
				total += e.Size
			}
			if r.Fetched != total {
				t.Errorf("%s: fetched %d bytes for %d", name, r.Fetched, total)
			}
		}
	}
}

// Hazard 56: two digests of one position stop the fetch, unless one of them is
// asked for, or more peers are to agree than tell the other.
func TestPeersContradictEachOther(t *testing.T) {
	one, two := newArchive(t), newArchive(t)
	e1, e2 := full(t, one, 3000), fullOf(t, two, synth(t, 3000, 2), archive.CreateOptions{})
	s1, s1b, s2 := serve(t, one, nil), serve(t, one, nil), serve(t, two, nil)
	a := newArchive(t)
	err := fails(t, config(a, s1, s1b, s2))
	var damaged *archive.DamagedError
	if !errors.As(err, &damaged) || !strings.Contains(err.Error(), e1.Name.String()) || !strings.Contains(err.Error(), e2.Name.String()) {
		t.Errorf("%v", err)
	}
	if len(err.Peers) != 3 || !slices.Contains(err.Peers[0].Offers, e1.Name) || !slices.Contains(err.Peers[2].Offers, e2.Name) {
		t.Errorf("%+v", err.Peers)
	}
	has(t, a, one)
	for _, e := range []archive.Entry{e1, e2} {
		a := newArchive(t)
		c := config(a, s1, s1b, s2)
		c.Digest = e.Bound.Digest
		if r := fetchAll(t, c); r.Route.Full.Name != e.Name {
			t.Errorf("asked for %v, got %v", e.Name, r.Route.Full.Name)
		}
	}
	c := config(a, s1, s1b, s2)
	c.Agree = 2
	fetchAll(t, c)
	has(t, a, one, e1)
	// And one that contradicts what is here.
	if err = fails(t, config(a, s2)); !errors.As(err, &damaged) {
		t.Errorf("%v", err)
	}
	c.Agree = 3
	c.Archive = newArchive(t)
	var nothing *archive.NothingError
	if err = fails(t, c); !errors.As(err, &nothing) {
		t.Errorf("%v", err)
	}
}

func TestNetworks(t *testing.T) {
	other := newArchive(t)
	fullOf(t, other, foreign(t, 5000), archive.CreateOptions{})
	from := newArchive(t)
	e := full(t, from, 3000)
	s, theirs := serve(t, from, nil), serve(t, other, nil)

	a := newArchive(t)
	var networks *archive.NetworksError
	if err := fails(t, config(a, s, theirs)); !errors.As(err, &networks) {
		t.Errorf("%v", err)
	}
	c := config(a, s, theirs)
	c.Network = "test"
	if got := fetchAll(t, c); got.Peers[1].Err == nil || got.Peers[1].Lied || got.Peers[0].Err != nil {
		t.Errorf("%+v", got.Peers)
	}
	has(t, a, from, e)
	// What lies here says which one it is.
	full(t, from, 3001)
	if got := fetchAll(t, config(a, theirs, s)); got.Route.Position() != 3001 {
		t.Errorf("%+v", got)
	}
}

// One fetch of a snapshot at a time.
func TestTwoFetches(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 3000)
	s := serve(t, from, nil)
	a := newArchive(t)
	c := config(a, s)
	var other error
	c.Progress = func(Progress) {
		if other == nil {
			other = fails(t, config(openArchive(t, a.Dir()), s))
		}
	}
	fetchAll(t, c)
	if !errors.Is(other, archive.ErrBusy) {
		t.Errorf("%v", other)
	}
	has(t, a, from, e)
}

// Clean-up and retention leave a fetch alone while it works.
func TestFetchWhileOthersCleanUp(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 3000)
	s := serve(t, from, nil)
	a := newArchive(t)
	newer := full(t, a, 4000) // which a fetch of the newest would not look for
	c := config(a, s)
	c.Target = 3000
	c.Progress = func(Progress) {
		if _, err := a.Clean(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := a.Prune(t.Context(), archive.Policy{}); err != nil {
			t.Error(err)
		}
	}
	fetchAll(t, c)
	if len(entries(t, a)) != 2 {
		t.Errorf("%+v; want %v and %v", entries(t, a), e.Name, newer.Name)
	}
}

// Pieces that arrive are told, and the credentials of a URL are not.
func TestCredentials(t *testing.T) {
	from := newArchive(t)
	e := full(t, from, 3000)
	s := serve(t, from, nil)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); !ok || user != "node" || password != "hush" || strings.HasPrefix(r.URL.Path, "//") {
			http.Error(w, "hush", http.StatusUnauthorized)
			return true
		}
		return false
	}
	a := newArchive(t)
	if err := fails(t, config(a, s)); !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
	c := config(a)
	c.Peers = []string{strings.Replace(s.URL, "://", "://node:hush@", 1) + "/"}
	c.Progress = func(p Progress) {
		if p.Peer != s.URL {
			t.Errorf("the peer is shown as %s", p.Peer)
		}
	}
	fetchAll(t, c)
	has(t, a, from, e)
	s.Close()
	c.Target = 1
	if err := fails(t, c); strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), s.URL) {
		t.Errorf("%v", err)
	}
}

func TestFetchIsCancelled(t *testing.T) {
	s := serve(t, newArchive(t), func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	c := config(newArchive(t), s)
	c.ListTimeout = time.Hour
	ended := make(chan error)
	go func() {
		_, err := Fetch(ctx, c)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

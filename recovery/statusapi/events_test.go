package statusapi

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// set changes the status.
func (s *stage) set(change func(*stage)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// watching reads a stream that it has opened.
type watching struct {
	conn  net.Conn
	lines *bufio.Reader
}

// watch opens a stream and checks how it begins.
func watch(t *testing.T, d *doorway) *watching {
	t.Helper()
	w := &watching{conn: d.dial()}
	t.Cleanup(func() { w.conn.Close() })
	go io.WriteString(w.conn, reads("/api/v1/events"))
	response, err := http.ReadResponse(bufio.NewReader(w.conn), nil)
	if err != nil || response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v, %+v", err, response)
	}
	w.lines = bufio.NewReader(response.Body)
	if line, err := w.lines.ReadString('\n'); line != "retry: 2000\n" {
		t.Fatalf("it begins with %q, %v", line, err)
	}
	return w
}

// next returns the next document, and how many heartbeats came before it; ok is
// false at the end of the stream.
func (w *watching) next(t *testing.T) (d Document, beats int, ok bool) {
	t.Helper()
	for {
		line, err := w.lines.ReadString('\n')
		data, isData := strings.CutPrefix(line, "data: ")
		switch {
		case err != nil:
			return d, beats, false
		case line == ":\n":
			beats++
		case isData:
			if err := json.Unmarshal([]byte(data), &d); err != nil {
				t.Fatal(err)
			}
			return d, beats, true
		case line != "\n" && line != "event: status\n":
			t.Fatalf("line %q", line)
		}
	}
}

// watched runs a test with a server and virtual time.
func watched(t *testing.T, test func(t *testing.T, s *Server, w *stage, d *doorway)) {
	synctest.Test(t, func(t *testing.T) {
		cfg, w := sampleConfig()
		cfg.AllowedHosts = append(cfg.AllowedHosts, clientHost)
		s := newServer(t, cfg)
		d, end := openDoorway(t, s.Serve)
		test(t, s, w, d)
		end()
		if n := s.events.watching(); n != 0 {
			t.Errorf("%d still watch", n)
		}
	})
}

func TestEvents(t *testing.T) {
	watched(t, func(t *testing.T, s *Server, w *stage, d *doorway) {
		watcher := watch(t, d)
		began := time.Now()
		step := func(what string, after time.Duration, beats int) Document {
			t.Helper()
			got, n, ok := watcher.next(t)
			if took := time.Since(began); !ok || took != after || n != beats {
				t.Errorf("%s: after %v and %d heartbeats (%v), want %v and %d", what, took, n, ok, after, beats)
			}
			began = time.Now()
			return got
		}
		if first := step("at once", 0, 0); first.Phase != "scanning" || first.Counters.Stored != 120 {
			t.Errorf("the first is %+v", first)
		}
		w.set(func(w *stage) { w.status.Phase = recovery.PhaseDraining })
		if got := step("phase", lookEvery, 0); got.Phase != "draining" {
			t.Errorf("phase %s", got.Phase)
		}
		w.set(func(w *stage) { w.status.Paused = false })
		if got := step("resumed", lookEvery, 0); got.Paused {
			t.Error("it is still paused")
		}
		w.set(func(w *stage) { w.status.Counters.Stored++ })
		if got := step("a counter", eventEvery, 0); got.Counters.Stored != 121 {
			t.Errorf("%d stored", got.Counters.Stored)
		}
		go func() {
			for range 40 { // only the time changes
				time.Sleep(time.Second)
				w.set(func(w *stage) { w.status.At = w.status.At.Add(time.Second) })
			}
			time.Sleep(eventEvery / 2)
			w.set(func(w *stage) { w.status.Counters.Stored++ })
		}()
		step("a counter, after 40 s", 41*time.Second, 2)
		watcher.conn.Close()
	})
}

// Any number of events that nobody reads cost a bounded queue, and then the
// watcher its place. The others are not held up.
func TestSlowWatcherIsDropped(t *testing.T) {
	watched(t, func(t *testing.T, s *Server, w *stage, d *doorway) {
		slow, quick := watch(t, d), watch(t, d)
		quick.next(t)
		slow.next(t)
		for i := range 12 {
			w.set(func(w *stage) { w.status.Run++ })
			if got, _, ok := quick.next(t); !ok || got.Run != uint64(4+i) {
				t.Fatalf("event %d: run %d, %v", i, got.Run, ok)
			}
		}
		if dropped := s.events.dropped.Load(); dropped != 1 {
			t.Errorf("%d dropped, want 1", dropped)
		}
		time.Sleep(eventTimeout)
		synctest.Wait()
		if n := s.events.watching(); n != 1 {
			t.Errorf("%d watch, want 1", n)
		}
		for ok := true; ok; { // the slow one sees an end, not half an event
			_, _, ok = slow.next(t)
		}
		quick.conn.Close()
	})
}

// Whoever connects again after being dropped or having left finds a place.
func TestWatchersComeAndGo(t *testing.T) {
	watched(t, func(t *testing.T, s *Server, w *stage, d *doorway) {
		for range 3 {
			var all []*watching
			for range maxWatchers {
				all = append(all, watch(t, d))
			}
			for _, one := range all {
				one.next(t)
				one.conn.Close()
			}
			time.Sleep(beatEvery) // whoever left is noticed at the next write at the latest
			synctest.Wait()
			if n := s.events.watching(); n != 0 {
				t.Fatalf("%d watch, want none", n)
			}
			if n := s.events.dropped.Load(); n != 0 {
				t.Errorf("%d count as dropped, though they left", n)
			}
		}
	})
}

// The end of a server is the end of its streams, at once and in good order.
func TestServerEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := sampleConfig()
		d, end := openDoorway(t, newServer(t, cfg).Serve)
		watcher := watch(t, d)
		watcher.next(t)
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, watcher.lines)
			ended <- err
		}()
		began := time.Now()
		end()
		if err := <-ended; err != nil {
			t.Errorf("the stream ended with %v, want its end", err)
		}
		if took := time.Since(began); took > closeGrace {
			t.Errorf("it took %v", took)
		}
	})
}

// A phase that changes between the first event and the second is not lost,
// whenever the watcher came.
func TestNoEventIsLostAtTheBeginning(t *testing.T) {
	watched(t, func(t *testing.T, s *Server, w *stage, d *doorway) {
		first := watch(t, d)
		for i := range 20 {
			w.set(func(w *stage) { w.status.Paused = i%2 == 0 })
			late := watch(t, d)
			time.Sleep(time.Duration(i) * 7 * time.Millisecond)
			w.set(func(w *stage) { w.status.Paused = i%2 != 0 })
			want := i%2 != 0
			for got := !want; got != want; {
				event, _, ok := late.next(t)
				if !ok {
					t.Fatalf("watcher %d never saw the change", i)
				}
				got = event.Paused
			}
			late.conn.Close()
			for { // the first one keeps up
				if event, _, ok := first.next(t); !ok || event.Paused == want {
					break
				}
			}
		}
		first.conn.Close()
	})
}

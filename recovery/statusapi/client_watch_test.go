package statusapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// watchingClient asks whoever serves at a doorway.
func watchingClient(d *doorway) *Client {
	dial := func(context.Context, string, string) (net.Conn, error) {
		select {
		case <-d.closed:
			return nil, fmt.Errorf("%w: refused", ErrNotRunning)
		default:
			return d.dial(), nil
		}
	}
	return &Client{http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// scripted answers each request for events with the next of some handlers, and the
// last again and again.
func scripted(t *testing.T, handlers ...http.HandlerFunc) (d *doorway, asked *int, end func()) {
	t.Helper()
	asked = new(int)
	d, end = openDoorway(t, func(ctx context.Context, l net.Listener) error {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			*asked++
			handlers[min(*asked, len(handlers))-1](w, r)
		})}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(l) }()
		<-ctx.Done()
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return d, asked, end
}

func tell(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range events {
			_, _ = io.WriteString(w, e)
		}
		http.NewResponseController(w).Flush()
	}
}

func event(phase string) string { return string(eventOf(Document{Phase: phase})) }

// silent says something and then nothing.
func silent(phase string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tell(event(phase))(w, r)
		<-r.Context().Done()
	}
}

var errEnough = errors.New("enough")

// until collects phases, and ends with errEnough after the last one expected.
func untilPhase(seen *[]string, last string) func(Document) error {
	return func(d Document) error {
		*seen = append(*seen, d.Phase)
		if d.Phase == last {
			return errEnough
		}
		return nil
	}
}

func TestWatchFollowsADaemon(t *testing.T) {
	watched(t, func(t *testing.T, _ *Server, w *stage, d *doorway) {
		var seen []string
		err := watchingClient(d).Watch(t.Context(), func(doc Document) error {
			seen = append(seen, doc.Phase)
			w.set(func(w *stage) { w.status.Phase++ })
			if doc.Phase == recovery.PhaseIncomplete.String() {
				return errEnough
			}
			return nil
		})
		if want := "scanning draining complete incomplete"; !errors.Is(err, errEnough) || strings.Join(seen, " ") != want {
			t.Errorf("%v; saw %v, want %s", err, seen, want)
		}
		time.Sleep(beatEvery) // the server notices that the watcher has left
		synctest.Wait()
	})
}

// A stream that ends, is cut or falls silent is opened again, not too often.
func TestWatchConnectsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := func(w http.ResponseWriter, r *http.Request) {
			tell(event("cut"), "event: status\ndata: {\"phase\":\"ha")(w, r)
			panic(http.ErrAbortHandler)
		}
		d, asked, end := scripted(t, tell("retry: 2000\n\n", ":\n\n", event("first")), cut, silent("silent"), tell(event("last")))
		defer end()
		var seen []string
		began := time.Now()
		err := watchingClient(d).Watch(t.Context(), untilPhase(&seen, "last"))
		if want := "first cut silent last"; !errors.Is(err, errEnough) || strings.Join(seen, " ") != want {
			t.Errorf("%v; saw %v, want %s", err, seen, want)
		}
		if took, want := time.Since(began), 2*reconnectAfter+silence; took != want || *asked != 4 {
			t.Errorf("it took %v and %d streams, want %v and 4", took, *asked, want)
		}
	})
}

// A long event is read whole, and a stream that only beats for a long time is not
// cut.
func TestWatchKeepsAQuietStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := func(w http.ResponseWriter, r *http.Request) {
			tell(string(eventOf(Document{Phase: "first", Why: strings.Repeat("x", 1<<20)})))(w, r)
			for range 20 {
				time.Sleep(beatEvery)
				tell(":\n\n")(w, r)
			}
			tell(event("last"))(w, r)
		}
		d, asked, end := scripted(t, quiet)
		defer end()
		var seen []string
		if err := watchingClient(d).Watch(t.Context(), untilPhase(&seen, "last")); !errors.Is(err, errEnough) || *asked != 1 || len(seen) != 2 {
			t.Errorf("%v; saw %v on %d streams", err, seen, *asked)
		}
	})
}

// A daemon that has left is not one that has done its work (hazard 39), and what
// is no stream is not taken for one.
func TestWatchEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    func(error) bool
	}{
		"too many watch": {
			func(w http.ResponseWriter, _ *http.Request) { writeError(w, 503, "32 watch already") },
			func(err error) bool { var e *APIError; return errors.As(err, &e) && e.Code == 503 },
		},
		"an older daemon": {
			notFound,
			func(err error) bool { var e *APIError; return errors.As(err, &e) && e.Code == 404 },
		},
		"a page": {
			func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "<html>") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, end := scripted(t, tc.handler)
				defer end()
				if err := watchingClient(d).Watch(t.Context(), func(Document) error { return nil }); !tc.want(err) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		d, _, end := scripted(t, silent("scanning"))
		err := watchingClient(d).Watch(t.Context(), func(Document) error { go end(); return nil })
		if !errors.Is(err, ErrNotRunning) {
			t.Errorf("the daemon has left: %v, want ErrNotRunning", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d, _, end := scripted(t, silent("scanning"))
		defer end()
		ctx, cancel := context.WithCancel(t.Context())
		if err := watchingClient(d).Watch(ctx, func(Document) error { cancel(); return nil }); err != nil {
			t.Errorf("told to end: %v", err)
		}
	})
}

// A stream without lines costs bounded memory.
func TestWatchOfAnEndlessLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endless := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for block := []byte(strings.Repeat("x", 1<<20)); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
		d, asked, end := scripted(t, endless, tell(event("last")))
		defer end()
		var seen []string
		if err := watchingClient(d).Watch(t.Context(), untilPhase(&seen, "last")); !errors.Is(err, errEnough) || *asked != 2 {
			t.Errorf("%v after %d streams", err, *asked)
		}
	})
}

package statusapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Limits of watching. Each watcher holds a connection.
const (
	maxWatchers  = 32
	watcherQueue = 4 // events that wait for a watcher to take them
	// eventEvery is the time between two events, but for a change of phase;
	// lookEvery how often one is looked for: a phase that is shorter is passed over.
	eventEvery = time.Second
	lookEvery  = 100 * time.Millisecond
	beatEvery  = 15 * time.Second
	// eventTimeout is how long a watcher may take for one event.
	eventTimeout = 5 * time.Second
	// reconnectAfter is what clients wait after a stream has ended.
	reconnectAfter = 2 * time.Second
)

// events tells watchers of every new status. Nobody waits for a watcher: one whose
// queue is full is dropped, and comes again if it lives. Looking for news takes a
// goroutine that the first watcher starts and the last one joins.
type events struct {
	glance   func() glance
	document func() Document
	dropped  atomic.Uint64 // watchers that were too slow

	mu       sync.Mutex
	joined   int // watchers that have not left, dropped ones included
	watchers map[*watcher]struct{}
	stop     chan struct{} // ends the goroutine
	ended    chan struct{} // closed by it
}

// watcher is somebody who watches. Its queue is closed when it is dropped.
type watcher struct{ queue chan []byte }

// glance is the part of a status whose changes are told at once.
type glance struct {
	phase  recovery.Phase
	paused bool
}

func newEvents(look func() glance, document func() Document) *events {
	return &events{glance: look, document: document, watchers: map[*watcher]struct{}{}}
}

// join adds a watcher, which must leave; ok is false when there are too many.
// What changes after join is in its queue.
func (e *events) join() (w *watcher, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.joined == maxWatchers {
		return nil, false
	}
	w = &watcher{make(chan []byte, watcherQueue)}
	e.watchers[w] = struct{}{}
	if e.joined++; e.joined == 1 {
		e.stop, e.ended = make(chan struct{}), make(chan struct{})
		go e.look(&news{at: time.Now(), glance: e.glance(), text: timeless(e.document())}, e.stop, e.ended)
	}
	return w, true
}

// leave takes a watcher out; slow says that it left for being that.
func (e *events) leave(w *watcher, slow bool) {
	e.mu.Lock()
	if _, here := e.watchers[w]; here && slow {
		e.dropped.Add(1) // else tell has counted it
	}
	delete(e.watchers, w)
	e.joined--
	last, stop, ended := e.joined == 0, e.stop, e.ended
	e.mu.Unlock()
	if last {
		close(stop)
		<-ended
	}
}

func (e *events) watching() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.joined
}

// news is what was looked at last.
type news struct {
	at     time.Time // of the last look at the whole document
	glance glance
	text   []byte // of that document, but for its time
}

// look tells a change of what a glance shows at once, and otherwise each
// eventEvery what has changed but for the time.
func (e *events) look(n *news, stop <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			g := e.glance()
			if g == n.glance && now.Sub(n.at) < eventEvery {
				continue
			}
			d := e.document()
			text := timeless(d)
			if g != n.glance || !bytes.Equal(text, n.text) {
				e.tell(eventOf(d))
			}
			*n = news{at: now, glance: g, text: text}
		}
	}
}

// tell hands an event to everybody.
func (e *events) tell(event []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.watchers {
		select {
		case w.queue <- event:
		default:
			delete(e.watchers, w)
			close(w.queue)
			e.dropped.Add(1)
		}
	}
}

// timeless is a document without the time at which it was made.
func timeless(d Document) []byte {
	d.At = time.Time{}
	text, _ := json.Marshal(d) // what cannot be encoded is like what cannot be encoded
	return text
}

// eventOf writes a document as one event.
func eventOf(d Document) []byte {
	text, err := json.Marshal(d)
	if err != nil {
		return []byte(": the status cannot be encoded\n\n")
	}
	return fmt.Appendf(nil, "event: status\ndata: %s\n\n", text)
}

// serveEvents streams the status until the watcher leaves, is too slow, or the
// server ends.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		answerError(w, err)
		return
	}
	watcher, ok := s.events.join()
	if !ok {
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("%d watch already", maxWatchers))
		return
	}
	var err error
	defer func() { s.events.leave(watcher, errors.Is(err, os.ErrDeadlineExceeded)) }()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Connection", "close")
	if r.Method == http.MethodHead {
		return
	}
	first := fmt.Appendf(nil, "retry: %d\n\n%s", reconnectAfter.Milliseconds(), eventOf(s.Document()))
	err = stream(w, r, first, watcher.queue)
}

// stream writes what comes until the queue is closed, the request ends or the
// other side takes too long.
func stream(w http.ResponseWriter, r *http.Request, first []byte, queue <-chan []byte) error {
	control := http.NewResponseController(w)
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	text := first
	for {
		_ = control.SetWriteDeadline(time.Now().Add(eventTimeout)) // as in allow
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
		var open bool
		select {
		case text, open = <-queue:
			if !open {
				return nil
			}
		case <-beat.C:
			text = []byte(":\n\n")
		case <-r.Context().Done():
			return nil
		}
	}
}

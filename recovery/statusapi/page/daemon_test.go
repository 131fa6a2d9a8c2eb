package page_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/statusapi/page"
)

// daemon is the API of a daemon whose facts a test sets: the page's handler, and
// the endpoints that the page asks, with answers in the shapes of the real ones.
type daemon struct {
	server *httptest.Server

	mu       sync.Mutex
	facts    facts
	token    string        // what commands need; empty: none
	down     bool          // every request is cut off
	noEvents bool          // the stream is refused with 503
	refusal  string        // why commands are refused with 503; empty: they are not
	plain    []byte        // the status as it is, and nothing else is offered
	streams  int           // open now
	moved    chan struct{} // closed when facts or the above change
	asked    []request
}

// facts are what a daemon knows.
type facts struct {
	doc     document
	list    []unsettledBlob
	shards  []shardProgress
	history []runEvent
	blobs   map[string]explanation
}

// request is one command that arrived.
type request struct {
	Path, Body, Authorization string
}

func startDaemon(t *testing.T, f facts) *daemon {
	t.Helper()
	d := &daemon{facts: f, moved: make(chan struct{})}
	mux := http.NewServeMux()
	handler := page.New()
	for _, pattern := range handler.Patterns() {
		mux.Handle(pattern, handler)
	}
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, d.now().doc) })
	mux.HandleFunc("GET /api/v1/events", d.serveEvents)
	mux.HandleFunc("GET /api/v1/unsettled", d.serveUnsettled)
	mux.HandleFunc("GET /api/v1/shards", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"shards": d.now().shards})
	})
	mux.HandleFunc("GET /api/v1/history", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"history": d.now().history})
	})
	mux.HandleFunc("GET /api/v1/blobs/{id}", d.serveBlob)
	mux.HandleFunc("POST /api/v1/", d.serveCommand)
	d.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.isDown() {
			panic(http.ErrAbortHandler)
		}
		if d.plain != nil && strings.HasPrefix(r.URL.Path, "/api/") {
			d.servePlain(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		d.change(func() { d.down = true }) // ends the streams
		d.server.Close()
	})
	return d
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value)
}

// change sets something and tells the streams.
func (d *daemon) change(set func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	set()
	close(d.moved)
	d.moved = make(chan struct{})
}

// tell replaces the facts.
func (d *daemon) tell(f facts) { d.change(func() { d.facts = f }) }

// edit changes the status.
func (d *daemon) edit(set func(*document)) { d.change(func() { set(&d.facts.doc) }) }

func (d *daemon) now() facts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.facts
}

func (d *daemon) isDown() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down
}

// commands returns what was asked to be done.
func (d *daemon) commands() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]request(nil), d.asked...)
}

// dropStreams ends the streams that are open.
func (d *daemon) dropStreams() { d.server.CloseClientConnections() }

// waitStreams returns once so many streams are open.
func (d *daemon) waitStreams(t *testing.T, n int) {
	t.Helper()
	giveUp := time.After(patience)
	for {
		d.mu.Lock()
		streams, moved := d.streams, d.moved
		d.mu.Unlock()
		if streams == n {
			return
		}
		select {
		case <-moved:
		case <-giveUp:
			t.Fatalf("%d streams are open, want %d", streams, n)
		}
	}
}

func (d *daemon) servePlain(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/api/v1/status":
		answer(w, 200, json.RawMessage(d.plain))
	case "/api/v1/events":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: status\ndata: %s\n\n", strings.ReplaceAll(string(d.plain), "\n", " "))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		answer(w, http.StatusNotFound, map[string]string{"error": "there is nothing here"})
	}
}

func (d *daemon) serveEvents(w http.ResponseWriter, r *http.Request) {
	d.change(func() { d.streams++ })
	defer d.change(func() { d.streams-- })
	w.Header().Set("Content-Type", "text/event-stream")
	for first := true; ; first = false {
		d.mu.Lock()
		doc, down, refused, moved := d.facts.doc, d.down, d.noEvents, d.moved
		d.mu.Unlock()
		switch {
		case down:
			panic(http.ErrAbortHandler)
		case refused && first:
			answer(w, http.StatusServiceUnavailable, map[string]string{"error": "too many watchers"})
			return
		case refused:
			return
		case first:
			fmt.Fprint(w, "retry: 2000\n\n: heartbeat\n\n")
		}
		body, _ := json.Marshal(doc)
		fmt.Fprintf(w, "event: status\ndata: %s\n\n", body)
		w.(http.Flusher).Flush()
		select {
		case <-moved:
		case <-r.Context().Done():
			return
		}
	}
}

func (d *daemon) serveUnsettled(w http.ResponseWriter, r *http.Request) {
	list := d.now().list
	if list == nil {
		list = []unsettledBlob{}
	}
	answer(w, 200, map[string]any{"unsettled": list, "total": len(list), "next_after": nil})
}

func (d *daemon) serveBlob(w http.ResponseWriter, r *http.Request) {
	x, ok := d.now().blobs[r.PathValue("id")]
	if !ok {
		answer(w, http.StatusBadRequest, map[string]string{"error": "this is not a blob id"})
		return
	}
	answer(w, 200, x)
}

func (d *daemon) serveCommand(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	d.mu.Lock()
	given, token, refusal := r.Header.Get("Authorization"), d.token, d.refusal
	d.asked = append(d.asked, request{Path: path, Body: string(body), Authorization: given})
	d.mu.Unlock()
	switch {
	case refusal != "":
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": refusal})
	case token != "" && given == "":
		answer(w, http.StatusUnauthorized, map[string]string{"error": "a command needs the token of state_dir/token"})
	case token != "" && given != "Bearer "+token:
		answer(w, http.StatusForbidden, map[string]string{"error": "that is not the token"})
	case r.Header.Get("Content-Type") != "application/json":
		answer(w, http.StatusUnsupportedMediaType, map[string]string{"error": "want application/json"})
	case path == "pause" || path == "resume":
		d.edit(func(doc *document) { doc.Paused = path == "pause" })
		answer(w, 200, map[string]bool{"paused": path == "pause"})
	case path == "retry":
		d.retry(w, body)
	default:
		answer(w, http.StatusNotFound, map[string]string{"error": "there is no such command"})
	}
}

// retry answers as the worker does: what waits is due, what is in flight busy.
func (d *daemon) retry(w http.ResponseWriter, body []byte) {
	var order struct {
		IDs []string `json:"ids"`
		All bool     `json:"all"`
	}
	if err := json.Unmarshal(body, &order); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	due, busy, unknown := 0, []string{}, []string{}
	d.change(func() {
		list := append([]unsettledBlob(nil), d.facts.list...)
		wanted := map[string]bool{}
		for _, id := range order.IDs {
			wanted[id] = true
		}
		for i := range list {
			u := &list[i]
			switch {
			case !order.All && !wanted[u.ID]:
			case u.State == "fetching" || u.State == "flushing":
				busy = append(busy, u.ID)
			default:
				due++
				u.State, u.NextTry = "retrying", time.Time{}
			}
			delete(wanted, u.ID)
		}
		for id := range wanted {
			unknown = append(unknown, id)
		}
		d.facts.list, d.facts.doc.Unsettled = list, counted(list)
	})
	answer(w, 200, map[string]any{"due": due, "busy": busy, "unknown": unknown})
}

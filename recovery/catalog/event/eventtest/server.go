package eventtest

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/recoverd/recoverd/recovery/catalog/event"
)

// Server answers GET ?after=N&limit=M with lines of events.
type Server struct {
	Network string // in a header with the tip; empty: no header

	mu     sync.Mutex
	events []event.Event
}

// Append adds events.
func (s *Server) Append(events []event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, events...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	limit, limitErr := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limitErr != nil {
		http.Error(w, "after and limit are numbers", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var body []byte
	if s.Network != "" {
		head := event.Header{Network: s.Network}
		if n := len(s.events); n > 0 {
			head.Tip = s.events[n-1].Position
		}
		if body, err = event.AppendHeader(body, head); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	for i := range s.events {
		if e := &s.events[i]; e.Position > after && limit > 0 {
			body = event.AppendLine(body, e)
			limit--
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_, _ = w.Write(body) // who is gone needs no answer
}

package statusapi

import (
	"fmt"
	"net/http"
	"time"
)

// liveFor is how long the worker's loop may stand still and count as alive.
const liveFor = 30 * time.Second

// serveLive answers whether the process is worth keeping: its loop turns. Wall
// clocks go back, so a turn in the future counts.
func (s *Server) serveLive(w http.ResponseWriter, _ *http.Request) {
	last := s.cfg.Worker.LastTurn()
	switch age := time.Since(last); {
	case last.Unix() <= 0:
		writeError(w, http.StatusServiceUnavailable, "the main loop has not turned yet")
	case age > liveFor:
		writeError(w, http.StatusServiceUnavailable, fmt.Sprintf("the main loop last turned %v ago", age.Round(time.Second)))
	default:
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	}
}

// serveReady answers whether the process does its work. It does not wait for the
// work to be done: a sidecar that did would take its node out of service.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.cfg.Ready(); err != nil {
		writeError(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	if s.cfg.Worker.Status().Ownership == nil {
		writeError(w, http.StatusServiceUnavailable, "not ready: ownership is not known yet")
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"ready": true})
}

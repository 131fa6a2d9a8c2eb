package statusapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// Server answers requests. It has no goroutine of its own; its methods may be
// called from many.
type Server struct {
	cfg     Config
	list    *unsettledList
	scrape  http.Handler // what /metrics answers
	full    http.Handler
	metrics http.Handler
}

// New makes a server. Errors wrap ErrConfig.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, list: newUnsettledList(cfg.Worker.Unsettled), scrape: newScrape(cfg)}
	s.metrics = s.metricsHandler()
	s.full = s.fullHandler()
	return s, nil
}

// Handler answers everything, for mounting at the root of a server. Requests
// must name a Host of Config.AllowedHosts or a loopback name with the port that
// they came in by.
func (s *Server) Handler() http.Handler { return s.full }

// MetricsHandler answers /metrics, /livez and /readyz only, for whatever Host:
// an address that is open to a network has names that are not known here.
func (s *Server) MetricsHandler() http.Handler { return s.metrics }

func (s *Server) fullHandler() http.Handler {
	mux := s.probes()
	mux.Handle("/{$}", readOnly(s.servePointer))
	mux.Handle("/api/v1/status", readOnly(s.serveStatus))
	mux.Handle("/api/v1/unsettled", readOnly(s.serveUnsettled))
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusForbidden, "a page of another origin may not ask this")
	}))
	return secured(s.hostChecked(protection.Handler(cleanPaths(mux))))
}

func (s *Server) metricsHandler() http.Handler { return secured(cleanPaths(s.probes())) }

// probes routes what both handlers answer; everything else is not found.
func (s *Server) probes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/metrics", readOnly(s.scrape.ServeHTTP))
	mux.Handle("/livez", readOnly(s.serveLive))
	mux.Handle("/readyz", readOnly(s.serveReady))
	mux.HandleFunc("/", notFound)
	return mux
}

func (s *Server) servePointer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "recoverd\n\n/api/v1/status     what it does, as JSON\n/api/v1/unsettled  what is not done, as JSON\n"+
		"/metrics           for Prometheus\n/livez, /readyz    for probes\n")
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, s.Document())
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, fmt.Sprintf("there is nothing at %.80q", r.URL.Path))
}

// parameters returns the query. Each of the allowed ones may be given once; the
// error names what else was.
func parameters(r *http.Request, allowed ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query cannot be read: %w", err)
	}
	single := make(map[string]string, len(values))
	for name, given := range values {
		switch {
		case !slices.Contains(allowed, name):
			return nil, fmt.Errorf("unknown parameter %.40q", name)
		case len(given) != 1:
			return nil, fmt.Errorf("parameter %s is given %d times", name, len(given))
		}
		single[name] = given[0]
	}
	return single, nil
}

type errorBody struct {
	Error string `json:"error"`
}

func writeError(w http.ResponseWriter, code int, text string) {
	writeJSON(w, code, errorBody{Error: text})
}

// writeJSON encodes before it answers, so that a value that cannot be encoded is
// an error and not half an answer.
func writeJSON(w http.ResponseWriter, code int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client has left; nobody is there to be told
}

package statusapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/recoverd/recoverd/recovery/statusapi/page"
)

// Server answers requests. It has a goroutine of its own while somebody watches
// events. Its methods may be called from many.
type Server struct {
	cfg     Config
	list    *unsettledList
	events  *events
	waits   chan struct{} // holds one for each blob that is waited for
	limits  chan struct{} // holds one while limits are changed
	scrape  http.Handler  // what /metrics answers
	full    http.Handler
	metrics http.Handler
}

// New makes a server. Errors wrap ErrConfig.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, list: newUnsettledList(cfg.Worker.Unsettled), waits: make(chan struct{}, maxWaits), limits: make(chan struct{}, 1)}
	s.events = newEvents(s.glance, s.Document)
	s.scrape = newScrape(cfg, s.events)
	s.metrics = secured(cleanPaths(newMux(s.probes())))
	s.full = secured(s.hostChecked(ownPages(cleanPaths(newMux(s.routes())))))
	return s, nil
}

func (s *Server) glance() glance {
	st := s.cfg.Worker.Status()
	return glance{phase: st.Phase, paused: st.Paused}
}

// Handler answers everything, for mounting at the root of a server. Requests
// must name a Host of Config.AllowedHosts or a loopback name with the port that
// they came in by. Whoever changes something shows the token.
func (s *Server) Handler() http.Handler { return s.full }

// MetricsHandler answers /metrics, /livez and /readyz only, for whatever Host:
// an address that is open to a network has names that are not known here.
func (s *Server) MetricsHandler() http.Handler { return s.metrics }

// route is one thing that can be asked for.
type route struct {
	method string // GET, which lets HEAD through, or POST
	path   string // a pattern of http.ServeMux
	handle http.HandlerFunc
}

// probes are what both handlers answer.
func (s *Server) probes() []route {
	return []route{
		{http.MethodGet, "/metrics", s.scrape.ServeHTTP},
		{http.MethodGet, "/livez", s.serveLive},
		{http.MethodGet, "/readyz", s.serveReady},
	}
}

// routes lists everything there is; openapi.yaml describes it, but for the files
// of the page and the profiles.
func (s *Server) routes() []route {
	routes := append(s.probes(), front()...)
	routes = append(routes, []route{
		{http.MethodGet, "/openapi.yaml", serveOpenAPI},
		{http.MethodGet, "/api/v1/status", s.serveStatus},
		{http.MethodGet, "/api/v1/unsettled", s.serveUnsettled},
		{http.MethodGet, "/api/v1/shards", s.serveShards},
		{http.MethodGet, "/api/v1/history", s.serveHistory},
		{http.MethodGet, "/api/v1/events", s.serveEvents},
		{http.MethodGet, "/api/v1/blobs/{id}", s.serveBlob},
		{http.MethodPost, "/api/v1/blobs/{id}/sync", s.authorized(s.serveSync)},
		{http.MethodPost, "/api/v1/pause", s.changing(s.pause(true))},
		{http.MethodPost, "/api/v1/resume", s.changing(s.pause(false))},
		{http.MethodPost, "/api/v1/retry", s.changing(s.retry)},
		{http.MethodPost, "/api/v1/repair", s.changing(s.repair)},
		{http.MethodPost, "/api/v1/limits", s.changing(s.changeLimits)},
		{http.MethodPost, "/api/v1/log-level", s.changing(s.changeLogLevel)},
	}...)
	if s.cfg.Pprof {
		routes = append(routes, route{http.MethodGet, "/debug/pprof/{name}", serveProfile})
	}
	return routes
}

// newMux routes each path to what answers it; everything else is not found.
func newMux(routes []route) *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.path, only(r.method, r.handle))
	}
	mux.HandleFunc("/", notFound)
	return mux
}

// front is the page with its files, and a pointer to the rest for whoever does not
// ask for HTML.
func front() (routes []route) {
	files := page.New()
	for _, path := range files.Patterns() {
		handle := files.ServeHTTP
		if path == "/{$}" {
			handle = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Vary", "Accept")
				if strings.Contains(r.Header.Get("Accept"), "text/html") {
					files.ServeHTTP(w, r)
					return
				}
				servePointer(w)
			}
		}
		routes = append(routes, route{http.MethodGet, path, handle})
	}
	return routes
}

func servePointer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "recoverd\n\n/api/v1/status     what it does, as JSON\n/api/v1/unsettled  what is not done, as JSON\n"+
		"/openapi.yaml      everything that can be asked, and changed\n/metrics           for Prometheus\n/livez, /readyz    for probes\n")
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	if _, err := parameters(r); err != nil {
		answerError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, s.Document())
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, fmt.Sprintf("there is nothing at %.80q", r.URL.Path))
}

// parameters returns the query. Each of the allowed ones may be given once; the
// error is a refusal that names what else was.
func parameters(r *http.Request, allowed ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	single := make(map[string]string, len(values))
	for name, given := range values {
		switch {
		case !slices.Contains(allowed, name):
			return nil, refuse(http.StatusBadRequest, "unknown parameter %.40q", name)
		case len(given) != 1:
			return nil, refuse(http.StatusBadRequest, "parameter %s is given %d times", name, len(given))
		}
		single[name] = given[0]
	}
	return single, nil
}

// number reads a parameter.
func number(query map[string]string, name string, otherwise, least, most int) (int, error) {
	text, given := query[name]
	if !given {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, refuse(http.StatusBadRequest, "%s is %.40q, want %d to %d", name, text, least, most)
	}
	return n, nil
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

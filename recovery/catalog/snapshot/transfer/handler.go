package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// HandlerConfig sets the limits of a Handler.
type HandlerConfig struct {
	// Concurrency is the most requests that are answered at once; default 16. More
	// are told to come again.
	Concurrency int
	// Piece is how long the pieces are that have a sum of their own, in bytes;
	// default 4 MiB.
	Piece int64
	// MinSpeed is how slowly a client may read, in bytes a second, before it is
	// cut off, which it can go on from; default 64 KiB. Grace comes on top;
	// default 30 s.
	MinSpeed int64
	Grace    time.Duration
}

func (c HandlerConfig) withDefaults() HandlerConfig {
	setDefault(&c.Concurrency, 16)
	setDefault(&c.Piece, DefaultPiece)
	setDefault(&c.MinSpeed, 64<<10)
	setDefault(&c.Grace, 30*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports the first value that makes no sense.
func (c HandlerConfig) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Concurrency < 1 || c.MinSpeed < 1 || c.Grace < 0:
		return errors.New("transfer: a limit of the server is negative")
	case c.Piece < MinPiece || c.Piece > MaxPiece:
		return fmt.Errorf("transfer: pieces of %d bytes, want %d to %d", c.Piece, MinPiece, MaxPiece)
	}
	return nil
}

// Handler serves an archive's complete snapshots: their list, and their files
// with Range and a strong ETag. It only reads the archive, which others may
// change; what is being sent is not pruned (hazard 67).
type Handler struct {
	cfg   HandlerConfig
	mux   *http.ServeMux
	shelf *shelf
	slots chan struct{}
}

// NewHandler returns a handler for /snapshots and /snapshots/<file>.
func NewHandler(a *archive.Archive, cfg HandlerConfig) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	h := &Handler{cfg: cfg, mux: http.NewServeMux(), shelf: newShelf(a, cfg.Piece), slots: make(chan struct{}, cfg.Concurrency)}
	h.mux.HandleFunc("GET /snapshots", h.list)
	h.mux.HandleFunc("GET /snapshots/{file}", h.file)
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) {
	shown, err := h.shelf.look(r.Context())
	if err != nil {
		h.refuse(w, err)
		return
	}
	text, err := json.Marshal(shown.document)
	if err != nil {
		h.refuse(w, err)
		return
	}
	if len(text) > MaxDocument {
		http.Error(w, "the list of snapshots is too long", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	defer h.hurry(w, int64(len(text)))()
	_, _ = w.Write(text) // whoever went away needs no answer
}

func (h *Handler) file(w http.ResponseWriter, r *http.Request) {
	f, err := archive.ParseFile(r.PathValue("file"))
	if err != nil {
		http.Error(w, "not the name of a snapshot", http.StatusBadRequest)
		return
	}
	held, err := h.shelf.archive.OpenFile(r.Context(), f)
	if err != nil {
		h.refuse(w, err)
		return
	}
	defer func() { _ = held.Close() }() // only read
	known, err := h.shelf.find(r.Context(), f.String(), held)
	if err != nil {
		h.refuse(w, err)
		return
	}
	w.Header().Set("ETag", `"`+known.sum.String()+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	defer h.hurry(w, known.size)()
	http.ServeContent(w, r, "", time.Time{}, held)
}

// refuse answers without a word about this machine.
func (h *Handler) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, archive.ErrGone):
		http.Error(w, "there is no such snapshot here", http.StatusNotFound)
	case errors.Is(err, context.Canceled): // nobody is left to be told
	default:
		http.Error(w, "the snapshots cannot be read", http.StatusInternalServerError)
	}
}

// hurry sets a deadline for sending n bytes, and returns what takes it away
// again for the connection's next request.
func (h *Handler) hurry(w http.ResponseWriter, n int64) func() {
	c := http.NewResponseController(w)
	limit := h.cfg.Grace + time.Duration(n/h.cfg.MinSpeed+1)*time.Second
	// Where the connection has no deadlines the server around has to see to it.
	_ = c.SetWriteDeadline(time.Now().Add(limit))
	return func() { _ = c.SetWriteDeadline(time.Time{}) }
}

package statusapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// command does what a body asks for, and returns what is answered once that is
// durable.
type command func(ctx context.Context, o object) (any, error)

// commandPatience is how long an effect may take to become durable.
const commandPatience = 10 * time.Second

// errUnconfirmed: it may happen all the same.
var errUnconfirmed = errors.New("it was not confirmed in time and may or may not happen; ask for the status")

// changing makes the handler of a command.
func (s *Server) changing(run command) http.HandlerFunc {
	return s.authorized(func(w http.ResponseWriter, r *http.Request) {
		if _, err := parameters(r); err != nil {
			answerError(w, err)
			return
		}
		body, err := readBody(w, r)
		if err != nil {
			answerError(w, err)
			return
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), commandPatience, errUnconfirmed)
		defer cancel()
		answer, err := run(ctx, body)
		if err != nil {
			answerError(w, caused(ctx, err))
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}

// caused says why ctx ended, where that is what err says.
func caused(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

// Paused answers pause and resume.
type Paused struct {
	Paused bool `json:"paused"`
}

func (s *Server) pause(paused bool) command {
	return func(ctx context.Context, o object) (any, error) {
		if err := firstError(o.end(), offered(s.cfg.Control != nil)); err != nil {
			return nil, err
		}
		return Paused{paused}, s.cfg.Control.Pause(ctx, paused)
	}
}

// retry wants ids, or all said in so many words: an empty list is a mistake of the
// one who made it, and never means all.
func (s *Server) retry(ctx context.Context, o object) (any, error) {
	var all bool
	ids, listed, err := o.ids()
	_, allErr := o.take("all", &all, "true")
	if err := firstError(err, allErr, o.end(), offered(s.cfg.Control != nil)); err != nil {
		return nil, err
	}
	if listed == all {
		return nil, refuse(http.StatusBadRequest, `want either "ids" or "all": true`)
	}
	return s.cfg.Control.Retry(ctx, ids)
}

func (s *Server) repair(ctx context.Context, o object) (any, error) {
	ids, listed, err := o.ids()
	if err := firstError(err, o.end(), offered(s.cfg.Control != nil)); err != nil {
		return nil, err
	}
	if !listed {
		return nil, refuse(http.StatusBadRequest, `want "ids"`)
	}
	return s.cfg.Control.PutBack(ctx, ids)
}

// changeLimits sets those limits that are given, one request at a time: what is
// not given stays as it is, but that a number for the concurrency ends its governing
// itself.
func (s *Server) changeLimits(ctx context.Context, o object) (any, error) {
	if err := offered(s.cfg.Limiter != nil); err != nil {
		return nil, err
	}
	select {
	case s.limits <- struct{}{}:
		defer func() { <-s.limits }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var reset bool
	limits := s.cfg.Limiter.Limits()
	_, resetErr := o.take("default", &reset, "true")
	concurrency, err1 := o.take("concurrency", &limits.Concurrency, "a whole number")
	auto, err4 := o.take("auto", &limits.Auto, "true or false")
	ceiling, err5 := o.take("concurrency_max", &limits.ConcurrencyMax, "a whole number")
	inFlight, err2 := o.take("bytes_in_flight", &limits.BytesInFlight, "a whole number of bytes")
	perSecond, err3 := o.take("bytes_per_second", &limits.BytesPerSecond, "a whole number of bytes, 0 for no limit")
	if err := firstError(resetErr, err1, err2, err3, err4, err5, o.end()); err != nil {
		return nil, err
	}
	if some := concurrency || auto || ceiling || inFlight || perSecond; some == reset {
		return nil, refuse(http.StatusBadRequest, `want "concurrency" or "auto", "concurrency_max", "bytes_in_flight" and "bytes_per_second", or some of them, or "default": true`)
	}
	if concurrency && auto && limits.Auto {
		return nil, refuse(http.StatusBadRequest, `"concurrency" is a fixed number, and with "auto": true there is none: give one of them`)
	}
	limits.Auto = limits.Auto && !concurrency
	change := func() error { return s.cfg.Limiter.SetLimits(ctx, limits) }
	if reset {
		change = func() error { return s.cfg.Limiter.ResetLimits(ctx) }
	}
	if err := change(); err != nil {
		return nil, err
	}
	return limitsView(s.cfg.Limiter.Limits()), nil
}

// LogLevelView answers log-level.
type LogLevelView struct {
	Level string `json:"level"`
}

func (s *Server) changeLogLevel(_ context.Context, o object) (any, error) {
	var level string
	given, err := o.take("level", &level, "debug, info, warn or error")
	if err := firstError(err, o.end(), offered(s.cfg.LogLevel != nil)); err != nil {
		return nil, err
	}
	if !given || !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
		return nil, refuse(http.StatusBadRequest, "level is %.40q, want debug, info, warn or error", level)
	}
	s.cfg.LogLevel.SetLevel(level)
	return LogLevelView{s.cfg.LogLevel.Level()}, nil
}

func offered(here bool) error {
	if here {
		return nil
	}
	return refuse(http.StatusNotImplemented, "not offered here")
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// answerError answers with what an error means for the one who asked.
func answerError(w http.ResponseWriter, err error) {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		writeError(w, refused.code, refused.text)
	case errors.Is(err, worker.ErrLimits):
		writeError(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, worker.ErrNoRun):
		writeError(w, http.StatusConflict, err.Error())
	case errors.Is(err, errNotYet):
		writeError(w, http.StatusGatewayTimeout, err.Error())
	case errors.Is(err, worker.ErrEnded), errors.Is(err, errBusy), errors.Is(err, errUnconfirmed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		writeError(w, http.StatusServiceUnavailable, err.Error())
	default:
		writeError(w, http.StatusInternalServerError, err.Error())
	}
}

// blobIn returns the id in the path.
func blobIn(r *http.Request) (recovery.BlobID, error) {
	id, err := recovery.ParseBlobID(r.PathValue("id"))
	if err != nil {
		return id, refuse(http.StatusBadRequest, "%v", err)
	}
	return id, nil
}

package statusapi

import (
	"context"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

// How long a profile is recorded, in seconds.
const (
	defaultProfile = 30
	maxProfile     = 120
)

// serveProfile answers what `go tool pprof` asks for. Package net/http/pprof would
// also answer on the default mux of whoever embeds this, and tell the command
// line, which may hold what is secret.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	if !nearby(r) {
		notFound(w, r)
		return
	}
	query, err := parameters(r, "seconds", "debug")
	seconds, secondsErr := number(query, "seconds", defaultProfile, 1, maxProfile)
	debug, debugErr := number(query, "debug", 0, 0, 2)
	if err := firstError(err, secondsErr, debugErr); err != nil {
		answerError(w, err)
		return
	}
	wait := time.Duration(seconds) * time.Second
	w.Header().Set("Content-Type", "application/octet-stream")
	if debug > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	switch name := r.PathValue("name"); name {
	case "profile":
		allow(w, wait)
		err = recorded(r.Context(), wait, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case "trace":
		allow(w, wait)
		err = recorded(r.Context(), wait, func() error { return trace.Start(w) }, trace.Stop)
	default:
		p := pprof.Lookup(name)
		if p == nil {
			notFound(w, r)
			return
		}
		err = p.WriteTo(w, debug)
	}
	if err != nil {
		answerError(w, refuse(http.StatusServiceUnavailable, "profile: %v", err))
	}
}

// recorded lets a recording run. A second one at the same time is refused by the
// runtime.
func recorded(ctx context.Context, wait time.Duration, start func() error, stop func()) error {
	if err := start(); err != nil {
		return err
	}
	defer stop()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

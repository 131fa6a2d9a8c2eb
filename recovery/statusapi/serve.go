package statusapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. An answer is small and is made at once; whoever needs
// longer than these is not reading.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 16 << 10
	// closeGrace is how long answers under way may take when serving ends: after a
	// halt the process must be gone within a second (I12).
	closeGrace = 300 * time.Millisecond
)

// Serve answers everything on a listener of ListenTCP, ListenUnix or ListenTLS
// until ctx ends, which is no error. It owns the listener, and has closed it and
// ended its goroutines when it returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.serve(ctx, l, s.full) }

// ServeMetrics answers /metrics, /livez and /readyz on any listener, else as
// Serve does.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s.metrics)
}

func (s *Server) serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	door := doorOf(l)
	if t, ok := l.(*tlsListener); ok {
		l = t.limited(s.cfg.MaxConns)
	} else {
		l = LimitConns(l, s.cfg.MaxConns)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          s.cfg.ErrorLog,
		Protocols:         &protocols,
		// Questions that still wait for the worker, and events, end with ctx.
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext:                  door.through,
		DisableGeneralOptionsHandler: true,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve status on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // what is left did not read its answer
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve status on %s: %w", l.Addr(), err)
	}
	return nil
}

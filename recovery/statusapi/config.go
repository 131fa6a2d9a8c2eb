package statusapi

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/recoverd/recoverd/recovery/worker"
)

// Config says what is served. Worker is required; what would be asked of a nil
// Control, Inspector, Limiter or LogLevel is answered with 501. The functions are
// called for each request, from many goroutines, and must not block; what a nil
// one would have said is null in the Document and absent from the metrics.
type Config struct {
	Worker     Worker
	Control    Control
	Inspector  Inspector
	Limiter    Limiter
	LogLevel   LogLevel
	Loop       func() worker.LoopStats
	Peers      func() []PeerView
	Checkpoint func() CheckpointView
	Store      func() StoreView
	Catalog    func() CatalogView
	// Ready says what stands in the way of being ready, apart from an ownership
	// that is not known yet; nil when nothing does. A nil function says nil. The
	// text is for everybody: it holds no ids and no names of peers.
	Ready func() error
	// Version is the program's.
	Version string
	// AllowedHosts are the values of Host that are answered besides the
	// loopback names of the listener itself: "name" or "name:port", exactly as
	// clients send them. There are no wildcards.
	AllowedHosts []string
	// Token is what whoever changes something must show, except on the socket of
	// ListenUnix. The zero value lets nobody change anything elsewhere.
	Token Token
	// Pprof serves /debug/pprof/ on the socket and on loopback addresses.
	Pprof bool
	// MaxConns bounds the open connections of each listener; default 128. Later
	// ones wait in the kernel.
	MaxConns int
	// ErrorLog gets what net/http has to say; nil: standard error.
	ErrorLog *log.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = 128
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	return c
}

// ErrConfig reports a Config that no server can be made from.
var ErrConfig = errors.New("statusapi: bad configuration")

// Validate reports, wrapping ErrConfig, the first thing that is wrong.
func (c Config) Validate() error {
	switch {
	case c.Worker == nil:
		return fmt.Errorf("%w: Worker is missing", ErrConfig)
	case c.MaxConns < 0 || c.MaxConns > 65_536:
		return fmt.Errorf("%w: MaxConns is %d, want 1 to 65536", ErrConfig, c.MaxConns)
	}
	for _, host := range c.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/*@ \t\r\n") {
			return fmt.Errorf("%w: allowed host %.80q is not a name or name:port", ErrConfig, host)
		}
	}
	return nil
}

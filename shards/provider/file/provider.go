package file

import (
	"context"
	"sync/atomic"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
)

// Provider follows one ownership file. Its methods may be called from any
// goroutine; Next is meant for one.
type Provider struct {
	config   Config
	ledger   *provider.Ledger
	watching atomic.Bool
	stop     context.CancelFunc
	done     chan struct{}
}

// Status is what a Provider looks like to an operator.
type Status struct {
	Path string
	// Watching: changes are noticed at once. Otherwise the directory could not be
	// watched, or is not yet, and they are noticed within Config.Reread.
	Watching bool
	provider.Status
}

// Open reads the file once and begins to follow it. A missing or bad file is no
// error here: Next tells. The caller closes the Provider.
func Open(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	p := &Provider{
		config: c,
		ledger: provider.NewLedger(c.Path, c.Now),
		stop:   stop,
		done:   make(chan struct{}),
	}
	w := &watch{dir: c.dir()}
	if c.WatchAfter > 0 {
		p.read()
	} else {
		p.look(w)
	}
	go p.follow(ctx, w)
	return p, nil
}

// Next blocks until there is an ownership that differs from the last one it
// returned, or a bad new version, which it returns once, as an error; see
// provider.Ledger.
func (p *Provider) Next(ctx context.Context) (shards.Ownership, error) { return p.ledger.Next(ctx) }

// Status returns what was seen so far.
func (p *Provider) Status() Status {
	return Status{Path: p.config.Path, Watching: p.watching.Load(), Status: p.ledger.Status()}
}

// Close ends the watch and makes Next return provider.ErrClosed. It may be called
// more than once.
func (p *Provider) Close() error {
	p.stop()
	<-p.done
	return p.ledger.Close()
}

// follow looks at the file whenever something may have happened to it.
func (p *Provider) follow(ctx context.Context, w *watch) {
	defer close(p.done)
	defer w.close()
	reread := p.config.Reread
	if p.config.WatchAfter > 0 {
		reread = min(reread, p.config.WatchAfter)
	}
	for {
		t := trigger{debounce: p.config.Debounce, reread: reread, events: w.events(), errors: w.errors()}
		if t.wait(ctx) != nil {
			return
		}
		p.look(w)
		reread = p.config.Reread
	}
}

// look watches first and reads second, so that no change falls in between.
func (p *Provider) look(w *watch) {
	p.watching.Store(w.arm() == nil)
	p.read()
}

func (p *Provider) read() {
	data, err := read(p.config.Path)
	if err != nil {
		p.ledger.Trouble(err)
		return
	}
	p.ledger.Document(data)
}

package httpprovider

import (
	"context"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
)

// Provider follows one URL. Its methods may be called from any goroutine; Next is
// meant for one.
type Provider struct {
	config Config
	ledger *provider.Ledger
	stop   context.CancelFunc
	done   chan struct{}
}

// Status is what a Provider looks like to an operator.
type Status struct {
	URL string // without its query
	provider.Status
}

// Open begins to follow the URL. A server that is away or answers badly is no error
// here: Next tells. The caller closes the Provider.
func Open(c Config) (*Provider, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	p := &Provider{config: c, ledger: provider.NewLedger(c.shown(), c.Now), stop: stop, done: make(chan struct{})}
	go p.follow(ctx)
	return p, nil
}

// Load reads the document once, within the limits of a Provider. Errors name the
// URL; those about the content wrap shards.ErrOwnership.
func Load(ctx context.Context, c Config) (shards.Ownership, error) {
	if err := c.Validate(); err != nil {
		return shards.Ownership{}, err
	}
	c = c.withDefaults()
	l := newLooker(c)
	defer l.close()
	data, err := l.look(ctx)
	var o shards.Ownership
	if err == nil {
		o, err = provider.ParseDocument(data)
	}
	if err != nil {
		return shards.Ownership{}, fmt.Errorf("ownership from %s: %w", c.shown(), err)
	}
	return o, nil
}

// Next blocks until there is an ownership that differs from the last one it
// returned, or a bad new version, which it returns once, as an error; see
// provider.Ledger.
func (p *Provider) Next(ctx context.Context) (shards.Ownership, error) { return p.ledger.Next(ctx) }

// Status returns what was seen so far.
func (p *Provider) Status() Status {
	return Status{URL: p.config.shown(), Status: p.ledger.Status()}
}

// Close ends the looks, one under way too, and makes Next return
// provider.ErrClosed. It may be called more than once.
func (p *Provider) Close() error {
	p.stop()
	<-p.done
	return p.ledger.Close()
}

func (p *Provider) follow(ctx context.Context) {
	defer close(p.done)
	l := newLooker(p.config)
	defer l.close()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		data, err := l.look(ctx)
		switch {
		case ctx.Err() != nil:
			return // says nothing about the server
		case err != nil:
			p.ledger.Trouble(err)
		default:
			p.ledger.Document(data)
		}
		next.Reset(p.config.Poll)
	}
}

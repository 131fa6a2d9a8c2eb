package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// OpenConfig says where a catalog is and how it is read.
type OpenConfig struct {
	// DSN is the connection string. Reading takes no more rights than USAGE of the
	// schema and SELECT on its tables.
	DSN string
	// Schema is where the tables lie; default "recoverd".
	Schema string
	// PollInterval is how often Changed looks for another generation; default 5 s.
	PollInterval time.Duration
	// Connections bounds those that pages and look-ups share; default 4. One more
	// keeps the pinned generation from being dropped.
	Connections int
}

func (c OpenConfig) withDefaults() OpenConfig {
	if c.Schema == "" {
		c.Schema = defaultSchema
	}
	if c.PollInterval == 0 {
		c.PollInterval = 5 * time.Second
	}
	if c.Connections == 0 {
		c.Connections = 4
	}
	return c
}

// Validate reports the first value that makes no sense. It never says the DSN.
func (c OpenConfig) Validate() error {
	switch {
	case c.PollInterval < 0:
		return fmt.Errorf("postgres: poll interval %v is negative", c.PollInterval)
	case c.Connections < 0 || c.Connections > 100:
		return fmt.Errorf("postgres: %d connections, want 1 to 100", c.Connections)
	}
	return checkSchema(c.Schema)
}

// Catalog is a state that was restored into Postgres, as a catalog.Source. It is
// static: complete as itself, and replaced as a whole.
//
// A page or a look-up is one short, read-only transaction at one snapshot of the
// database, in which the stamp is read too; nothing is open in between (hazard
// 35). The pinned generation is kept from being dropped by a lock that a
// connection of its own shares. Connection trouble is an error, never an absence.
type Catalog struct {
	cfg    OpenConfig
	schema schema
	pool   *pgxpool.Pool
	closed chan struct{}

	pinning sync.Mutex // one Pin at a time; guards hold
	hold    holder

	mu     sync.Mutex
	pinned *pinned // nil before the first Pin and after Close
	ended  bool
}

// pinned is a generation that answers are given from. It never changes.
type pinned struct {
	described
	pools []snapshot.Pool // by rising id
}

func (p *pinned) tip() recovery.Tip {
	return recovery.Tip{
		Bound: p.Bound, Blobs: p.Totals.Certified, Bytes: p.Totals.Bytes(),
		Ancestors: p.header.Ancestors, Static: true, AtTip: true,
	}
}

// Open returns the catalog. It does not connect before the first Pin. The caller
// closes it.
func Open(c OpenConfig) (*Catalog, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	p, err := parsePool(c.DSN)
	if err != nil {
		return nil, err
	}
	p.MaxConns, p.MinConns = int32(c.Connections), 0
	p.AfterConnect = settle
	pool, err := pgxpool.NewWithConfig(context.Background(), p)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", connectError(context.Background(), p.ConnConfig, err))
	}
	s := schema(c.Schema)
	return &Catalog{
		cfg: c, schema: s, pool: pool, closed: make(chan struct{}), hold: holder{target: p.ConnConfig.Copy(), schema: s},
	}, nil
}

// Close waits for the answers under way and closes the connections.
func (c *Catalog) Close() error {
	c.mu.Lock()
	was := c.ended
	c.ended, c.pinned = true, nil
	if !was {
		close(c.closed)
	}
	c.mu.Unlock()
	if was {
		return nil
	}
	c.pool.Close()
	c.pinning.Lock()
	defer c.pinning.Unlock()
	return c.hold.close()
}

// Pin implements catalog.Source. On the first call an error wraps
// recovery.ErrMisconfigured where the server refuses the user or the database,
// or where the schema is another program's; ErrEmpty says that nothing was
// restored yet. After an error the pinned state is as it was.
func (c *Catalog) Pin(ctx context.Context) (recovery.Tip, error) {
	c.pinning.Lock()
	defer c.pinning.Unlock()
	if ctx.Err() != nil {
		return recovery.Tip{}, context.Cause(ctx)
	}
	old, err := c.state()
	if err != nil && !errors.Is(err, catalog.ErrNotPinned) {
		return recovery.Tip{}, err
	}
	next, err := c.pin(ctx, old)
	switch {
	case err != nil && old == nil && humanMustAct(err):
		return recovery.Tip{}, fmt.Errorf("%w: pin catalog: %w", recovery.ErrMisconfigured, err)
	case err != nil:
		return recovery.Tip{}, fmt.Errorf("pin catalog: %w", err)
	}
	if err := c.install(next); err != nil {
		return recovery.Tip{}, err
	}
	// An answer under way that loses its tables by this is given from next.
	c.hold.only(ctx, next.generation)
	return next.tip(), nil
}

// humanMustAct reports whether trying again cannot help.
func humanMustAct(err error) bool {
	switch c := code(err); {
	case strings.HasPrefix(c, classAuthorization), c == codeNoSuchDatabase, c == codeNoPrivilege:
		return true
	}
	return errors.Is(err, ErrForeign)
}

// pin finds the current generation, shares its lock, and then makes sure that it
// is still there: a restore drops only what it can lock alone.
func (c *Catalog) pin(ctx context.Context, old *pinned) (*pinned, error) {
	if err := c.hold.alive(ctx); err != nil {
		return nil, err
	}
	if err := checkLayout(ctx, c.hold.conn, c.schema); err != nil {
		return nil, err
	}
	const tries = 10 // as many restores would have to end in between
	for range tries {
		d, err := current(ctx, c.hold.conn, c.schema)
		if err != nil {
			return nil, err
		}
		if old != nil && old.generation == d.generation && c.hold.has(d.generation) {
			return old, nil
		}
		if err := c.hold.share(ctx, d.generation); err != nil {
			return nil, err
		}
		next, err := c.read(ctx, d.generation)
		if !errors.Is(err, ErrGone) {
			return next, err
		}
	}
	return nil, fmt.Errorf("%w: every generation that was current was replaced at once", ErrGone)
}

// read reads what a generation is, whose lock is shared.
func (c *Catalog) read(ctx context.Context, g generation) (*pinned, error) {
	p := &pinned{}
	err := inSnapshot(ctx, c.hold.conn, func(tx pgx.Tx) (err error) {
		if p.described, err = c.described(ctx, tx, g); err != nil {
			return err
		}
		if err := checkLogged(ctx, tx, c.schema, g); err != nil {
			return err
		}
		p.pools, err = poolsOf(ctx, tx, c.schema, g)
		return err
	})
	if err == nil && uint64(len(p.pools)) != p.Totals.Rows.Pools {
		err = fmt.Errorf("%w: %s has %d rows, not %d", ErrDamaged, c.schema.table(snapshot.Pools, g), len(p.pools), p.Totals.Rows.Pools)
	}
	return p, doing(ctx, "read the generation", err)
}

// described reads the row of a generation that is, or was, a current one, and
// shares its lock until the transaction ends: so that a restore that would drop
// it does not meet a reader half-way.
func (c *Catalog) described(ctx context.Context, tx pgx.Tx, g generation) (described, error) {
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock_shared($1, $2)", c.schema.lockClass(), int32(g)); err != nil {
		return described{}, err
	}
	d, err := readDescribed(tx.QueryRow(ctx, "SELECT "+describedColumns+" FROM "+c.schema.generations()+
		" WHERE generation = $1 AND status <> 'loading'", g))
	if errors.Is(err, pgx.ErrNoRows) {
		return d, fmt.Errorf("%w: generation %d was replaced and dropped", ErrGone, g)
	}
	return d, err
}

// install makes next the pinned state.
func (c *Catalog) install(next *pinned) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return catalog.ErrClosed
	}
	c.pinned = next
	return nil
}

// state returns what is pinned.
func (c *Catalog) state() (*pinned, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return nil, catalog.ErrClosed
	case c.pinned == nil:
		return nil, catalog.ErrNotPinned
	}
	return c.pinned, nil
}

// Changed implements catalog.Source: another generation than the pinned one is
// current. While the server cannot be asked it waits, and Pin says what is wrong.
func (c *Catalog) Changed(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.PollInterval)
	defer tick.Stop()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p, err := c.state()
		if errors.Is(err, catalog.ErrClosed) {
			return err
		}
		if d, err := current(ctx, c.pool, c.schema); err == nil && (p == nil || d.generation != p.generation) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-c.closed:
		case <-tick.C:
		}
	}
}

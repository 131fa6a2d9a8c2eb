package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Config says how and where a state is restored.
type Config struct {
	// Schema is where the tables lie; default "recoverd". It is made if it is not
	// there. Nothing outside of it is touched, and nothing in it that has not this
	// package's mark.
	Schema string
	// Streams is how many tables are loaded and indexed at the same time, 1 or 2;
	// default 2. Each takes two connections; one more holds the lock.
	Streams int
	// IndexMemory is how much memory the server may use for each index while it
	// makes it, in MiB; default 256, or what the server's
	// maintenance_work_mem says where that is more. Each stream makes one at a time.
	IndexMemory int
	// Progress is called now and then with the rows sent so far, from one goroutine
	// at a time; nil: it is not.
	Progress func(rows uint64)

	step func(step string) // tests: what was just done
}

const defaultSchema = "recoverd"

func (c Config) withDefaults() Config {
	if c.Schema == "" {
		c.Schema = defaultSchema
	}
	if c.Streams == 0 {
		c.Streams = 2
	}
	if c.IndexMemory == 0 {
		c.IndexMemory = 256
	}
	if c.step == nil {
		c.step = func(string) {}
	}
	return c
}

// Validate reports the first value that makes no sense.
func (c Config) Validate() error {
	if c.Streams < 0 || c.Streams > 2 {
		return fmt.Errorf("postgres: %d streams, want 1 or 2", c.Streams)
	}
	if c.IndexMemory < 0 || c.IndexMemory > 1<<20 {
		return fmt.Errorf("postgres: %d MiB for an index, want 1 to %d", c.IndexMemory, 1<<20)
	}
	return checkSchema(c.Schema)
}

// checkSchema refuses what the server would cut or keep for itself. Empty is the
// default.
func checkSchema(name string) error {
	switch {
	case len(name) > 63:
		return fmt.Errorf("postgres: the schema's name has %d bytes, at most 63", len(name))
	case strings.ContainsRune(name, 0), strings.HasPrefix(name, "pg_"), name == "information_schema":
		return fmt.Errorf("postgres: a schema cannot be named %q", name)
	}
	return nil
}

// Result says what was restored.
type Result struct {
	snapshot.Summary
	Generation int // of the restored state within its schema
	// Spooled: the rows went through unlogged tables, because the server's WAL is
	// read by others (wal_level above minimal).
	Spooled bool
	// Prepare, Load and Durable are what the phases took.
	Prepare, Load, Durable time.Duration
	// Kept names replaced generations that are still there, and why: somebody reads
	// them, or something else depends on them. The next restore tries again.
	Kept []string
}

// The steps of a restore, in their order. Some are met more than once.
const (
	stepPrepared  = "prepared"
	stepLoading   = "loading" // some more rows were sent
	stepLoaded    = "loaded"
	stepCopying   = "copying" // from a spool
	stepIndexed   = "indexed"
	stepVerified  = "verified"
	stepCommitted = "committed"
	stepSwitching = "switching" // before the commit that switches
	stepSwitched  = "switched"
	stepDropped   = "dropped"
)

// Restore makes the schema's current state s, in three phases (DESIGN 8):
//
// Prepare takes a lock, removes what killed restores left, and makes an empty
// place: tables of a new generation, which no reader knows. Load sends the rows
// into unlogged tables, which writes no WAL. Make durable copies them from there
// into logged tables, adds the primary keys, reads every row back and compares
// the digest; one transaction then makes the generation the current one, with
// its position. Where wal_level is minimal, the rows go into the tables in the
// transaction that made them, which logs nothing either, and are not spooled.
//
// Killed at any moment, readers go on with the state they had; the next Restore
// begins again. Errors wrap those of this package or of snapshot.Summarize, or
// are the server's or of ctx. After one the current state is what it was, except
// when the commit's answer was lost: then either is current, wholly.
func Restore(ctx context.Context, dsn string, s snapshot.State, c Config) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	target, err := parse(dsn)
	if err != nil {
		return Result{}, err
	}
	r := &restore{cfg: c.withDefaults(), target: target, from: s}
	r.schema = schema(r.cfg.Schema)
	if err := r.run(ctx); err != nil {
		return Result{}, fmt.Errorf("restore into schema %q of %s: %w", r.schema, where(target), err)
	}
	return r.result, nil
}

// restore is one restore under way.
type restore struct {
	cfg    Config
	target *pgx.ConnConfig
	schema schema
	from   snapshot.State
	result Result

	conn       *pgx.Conn // holds the lock; its session is where the switch happens
	generation generation
	streams    []*loading

	told sync.Mutex // serializes Progress and step
	rows uint64
}

func (r *restore) step(step string) {
	r.told.Lock()
	defer r.told.Unlock()
	r.cfg.step(step)
}

func (r *restore) run(ctx context.Context) (err error) {
	began := time.Now()
	if err := r.summarize(ctx); err != nil {
		return err
	}
	if r.conn, err = connect(ctx, r.target); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(ctx, err != nil)) }()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.step(stepPrepared)
	prepared := time.Now()
	if err := r.load(ctx); err != nil {
		return err
	}
	r.step(stepLoaded)
	loaded := time.Now()
	if err := r.makeDurable(ctx); err != nil {
		return err
	}
	r.result.Prepare, r.result.Load, r.result.Durable = prepared.Sub(began), loaded.Sub(prepared), time.Since(loaded)
	return nil
}

// summarize learns what the state comes to and whether the tables can hold it.
func (r *restore) summarize(ctx context.Context) (err error) {
	if r.result.Summary, err = snapshot.Summarize(ctx, r.from); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	h := r.from.Header()
	if h.Position > math.MaxInt64 {
		return fmt.Errorf("%w: position %d is above %d, the largest that a bigint holds", ErrRange, h.Position, uint64(math.MaxInt64))
	}
	return h.Validate()
}

// close gives the connections back. Transactions that are open end with them.
// What a restore that failed has made is removed at once where that can be done,
// so that it fills no disk until the next one.
func (r *restore) close(ctx context.Context, failed bool) error {
	var errs []error
	for _, s := range r.streams {
		errs = append(errs, s.close())
	}
	if failed && r.generation != 0 && !r.conn.IsClosed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = r.dropOld(ctx) // else the next restore does it
	}
	return errors.Join(append(errs, closeConn(r.conn))...)
}

// sent counts rows for Progress.
func (r *restore) sent(rows uint64) {
	r.told.Lock()
	defer r.told.Unlock()
	r.rows += rows
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.rows)
	}
}

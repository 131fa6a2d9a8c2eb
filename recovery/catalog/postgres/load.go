package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// loading is one of the streams: some of the tables, and the connections that
// they go through one after the other.
type loading struct {
	r        *restore
	jobs     []*job
	to, from *pgx.Conn // from: reads the spool; nil until then
	tx       pgx.Tx    // on to: holds its tables from their making to their proof
}

// assign gives each table to the stream that has the fewest rows, the largest
// tables first.
func assign(jobs [tableCount]*job, streams int) [][]*job {
	order := jobs[:]
	slices.SortStableFunc(order, func(a, b *job) int { return cmp.Compare(b.rows, a.rows) })
	all, rows := make([][]*job, min(streams, tableCount)), make([]uint64, min(streams, tableCount))
	for _, j := range order {
		least := slices.Index(rows, slices.Min(rows))
		all[least], rows[least] = append(all[least], j), rows[least]+j.rows
	}
	return all
}

// load sends all rows to the server: nothing of it is logged there.
func (r *restore) load(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, jobs := range assign(r.jobs(ctx), r.cfg.Streams) {
		s := &loading{r: r, jobs: jobs}
		r.streams = append(r.streams, s)
		group.Go(func() error { return s.load(ctx) })
	}
	return group.Wait()
}

func (s *loading) load(ctx context.Context) (err error) {
	if s.to, err = connect(ctx, s.r.target); err != nil {
		return err
	}
	if !s.r.result.Spooled {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	for _, j := range s.jobs {
		if s.r.result.Spooled {
			sql := "COPY " + s.r.schema.spool(j.kind, s.r.generation) + " (run) FROM STDIN (FORMAT binary)"
			if _, err := copyIn(ctx, s.to, sql, spooled(j.tuples())); err != nil {
				return doing(ctx, fmt.Sprintf("spool table %v", j.kind), err)
			}
			continue
		}
		if err := s.create(ctx, j); err != nil {
			return err
		}
		// The table is this transaction's: nobody else can see rows that are frozen.
		if err := s.fill(ctx, j, ", FREEZE", j.tuples()); err != nil {
			return err
		}
	}
	return nil
}

// begin begins the transaction of the stream's tables. Its settings end with it
// (hazard 62): room to sort an index in, one process for each table, and tables
// read as they lie.
func (s *loading) begin(ctx context.Context) (err error) {
	if s.tx, err = s.to.Begin(ctx); err != nil {
		return doing(ctx, "begin", err)
	}
	_, err = s.tx.Exec(ctx, `
		SELECT set_config('maintenance_work_mem', greatest($1, setting::bigint)::text || 'kB', true), set_config('enable_seqscan', 'on', true),
			set_config('max_parallel_maintenance_workers', '0', true), set_config('max_parallel_workers_per_gather', '0', true)
		FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'`, int64(s.r.cfg.IndexMemory)<<10)
	return doing(ctx, "begin", err)
}

// create makes a table of the state, logged from the beginning, with its mark.
func (s *loading) create(ctx context.Context, j *job) error {
	name := s.r.schema.table(j.kind, s.r.generation)
	for _, sql := range []string{
		"CREATE TABLE " + name + " (" + j.columns + ")",
		"COMMENT ON TABLE " + name + " IS '" + s.r.generation.mark() + "'",
	} {
		if _, err := s.tx.Exec(ctx, sql); err != nil {
			return doing(ctx, fmt.Sprintf("make table %v", j.kind), err)
		}
	}
	return nil
}

// fill copies tuples into a table of the transaction.
func (s *loading) fill(ctx context.Context, j *job, options string, tuples func(dst []byte) ([]byte, error)) error {
	sql := "COPY " + s.r.schema.table(j.kind, s.r.generation) + " (" + j.names + ") FROM STDIN (FORMAT binary" + options + ")"
	n, err := copyIn(ctx, s.to, sql, tuples)
	if err != nil {
		return doing(ctx, fmt.Sprintf("fill table %v", j.kind), err)
	}
	if n != j.rows {
		return fmt.Errorf("%w: table %v took %d rows, not %d", ErrVerify, j.kind, n, j.rows)
	}
	return nil
}

// makeDurable turns what was sent into logged, indexed and proven tables, and
// then into the current generation.
func (r *restore) makeDurable(ctx context.Context) error {
	group, streamCtx := errgroup.WithContext(ctx)
	for _, s := range r.streams {
		group.Go(func() error { return s.makeDurable(streamCtx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var sums [tableCount]snapshot.TableSum
	for _, s := range r.streams {
		for _, j := range s.jobs {
			sums[j.kind-1] = j.sum
		}
	}
	if digest := snapshot.DigestOf(r.from.Header().Stamp, sums); digest != r.result.Bound.Digest {
		return fmt.Errorf("%w: the rows that were read back have digest %v, not %v", ErrVerify, digest, r.result.Bound.Digest)
	}
	return r.makeCurrent(ctx)
}

// makeDurable ends with the commit after which this stream's tables are there
// for good, though no reader knows of them yet.
func (s *loading) makeDurable(ctx context.Context) error {
	if s.r.result.Spooled {
		var err error
		if s.from, err = connect(ctx, s.r.target); err != nil {
			return err
		}
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	for _, j := range s.jobs {
		if s.r.result.Spooled {
			if err := s.create(ctx, j); err != nil {
				return err
			}
			if err := s.unspool(ctx, j); err != nil {
				return err
			}
		}
		if err := s.prove(ctx, j); err != nil {
			return err
		}
	}
	err := s.tx.Commit(ctx)
	s.r.step(stepCommitted)
	return doing(ctx, "commit the tables", err)
}

// unspool copies a table's rows from where they are not logged to where they
// are. It costs less WAL than SET LOGGED would, which logs row by row: 0.74
// against 1.00 of what COPY into indexed tables writes, in the same time.
func (s *loading) unspool(ctx context.Context, j *job) error {
	rows, err := s.from.Query(ctx, "SELECT run FROM "+s.r.schema.spool(j.kind, s.r.generation), pgx.QueryResultFormats{pgx.BinaryFormatCode})
	if err != nil {
		return doing(ctx, fmt.Sprintf("read the spool of table %v", j.kind), err)
	}
	defer rows.Close()
	next := unspooled(rows)
	return s.fill(ctx, j, "", func(dst []byte) ([]byte, error) {
		s.r.step(stepCopying)
		return next(dst)
	})
}

// prove adds the primary key, which proves that no key comes twice, and reads
// the table back.
func (s *loading) prove(ctx context.Context, j *job) error {
	name := s.r.schema.table(j.kind, s.r.generation)
	// The table never changes again, so its pages may be full.
	if _, err := s.tx.Exec(ctx, "ALTER TABLE "+name+" ADD PRIMARY KEY ("+j.key+") WITH (fillfactor = 100)"); err != nil {
		return doing(ctx, fmt.Sprintf("index table %v", j.kind), err)
	}
	s.r.step(stepIndexed)
	// Rows lie in the order in which they were copied, which is the keys', and are
	// read fastest as they lie. Should they not, the index has the order.
	all := "SELECT " + j.names + " FROM " + name
	var err error
	if j.sum, err = j.read(ctx, s.tx, all); errors.Is(err, errUnordered) {
		j.sum, err = j.read(ctx, s.tx, all+" ORDER BY "+j.key)
	}
	if err != nil {
		return doing(ctx, fmt.Sprintf("read table %v back", j.kind), err)
	}
	s.r.step(stepVerified)
	return nil
}

func (s *loading) close() error {
	var errs []error
	for _, conn := range []*pgx.Conn{s.to, s.from} {
		if conn != nil {
			errs = append(errs, closeConn(conn))
		}
	}
	return errors.Join(errs...)
}

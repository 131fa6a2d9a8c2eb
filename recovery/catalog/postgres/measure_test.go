package postgres

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var (
	measure       = flag.Bool("measure", false, "take the measurements of TestMeasure: some minutes, 3 GB of disk")
	measureRounds = flag.Int("measure-rounds", 5, "rounds of TestMeasure")
)

// TestMeasure compares a whole Restore of 1.5 M rows with what a program without
// this package would do: one COPY for each table into a logged, indexed one, over
// one connection. The tables' columns are the same. Wall time includes all three
// phases, the proof and the switch; WAL is the difference of the server's insert
// position. The tasks take turns on one server, a checkpoint before each, and the
// ratio of each round is what counts. Figures are told, never asserted.
func TestMeasure(t *testing.T) {
	if !*measure {
		t.Skip("run with -measure")
	}
	const blobs = 750_000
	file := filepath.Join(t.TempDir(), "state.rsnap")
	if _, err := snapshot.Synth(t.Context(), snapshot.SynthConfig{Blobs: blobs}, file); err != nil {
		t.Fatal(err)
	}
	r := openSnapshot(t, file)
	shuffled := shuffle(t, r)
	for _, level := range []string{"replica", "minimal"} {
		m := &measurement{t: t, server: postgrestest.Start(t, postgrestest.Config{Settings: measured(level)})}
		m.conn = m.server.Connect(t)
		for _, c := range []struct {
			name  string
			state snapshot.State
		}{{"sorted", r}, {"shuffled", shuffled}} {
			m.compare(fmt.Sprintf("wal_level=%s, %s keys", level, c.name), c.state)
		}
	}
}

func measured(level string) []string {
	settings := []string{"wal_level = " + level, "shared_buffers = 256MB", "max_wal_size = 2GB"}
	if level == "minimal" {
		settings = append(settings, "max_wal_senders = 0")
	}
	return settings
}

type measurement struct {
	t      testing.TB
	server *postgrestest.Server
	conn   *pgx.Conn
}

// cost is what a task took.
type cost struct {
	took time.Duration
	wal  float64 // bytes
}

func (m *measurement) lsn() (at float64) {
	m.t.Helper()
	if err := m.conn.QueryRow(m.t.Context(), "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8").Scan(&at); err != nil {
		m.t.Fatal(err)
	}
	return at
}

func (m *measurement) cost(task func()) cost {
	exec(m.t, m.conn, "DROP SCHEMA IF EXISTS plain CASCADE", "DROP SCHEMA IF EXISTS recoverd CASCADE", "CREATE SCHEMA plain", "CHECKPOINT")
	before, began := m.lsn(), time.Now()
	task()
	return cost{time.Since(began), m.lsn() - before}
}

func (m *measurement) compare(name string, s snapshot.State) {
	var plain, driver, restored, altered []cost
	var loading []float64
	for round := range *measureRounds {
		tasks := []func(){
			func() { plain = append(plain, m.cost(func() { m.plain(s, ownCopy) })) },
			func() { driver = append(driver, m.cost(func() { m.plain(s, pgxCopy) })) },
			func() {
				var prepared, loaded float64
				restored = append(restored, m.cost(func() {
					mustRestore(m.t, m.server, s, Config{step: func(step string) {
						switch step {
						case stepPrepared:
							prepared = m.lsn()
						case stepLoaded:
							loaded = m.lsn()
						}
					}})
				}))
				loading = append(loading, loaded-prepared)
			},
			func() { altered = append(altered, m.cost(func() { m.setLogged(s) })) },
		}
		for i := range tasks {
			tasks[(i+round)%len(tasks)]()
		}
	}
	wal := func(c cost) float64 { return c.wal }
	wall := func(c cost) float64 { return c.took.Seconds() }
	m.t.Logf("| %s: WAL of Restore against COPY into indexed, logged tables | %s | at most 0.85 | %d | %.0f MB against %.0f MB; %.3f MB of it in the load phase; with SET LOGGED instead %s |",
		name, ratios(restored, plain, wal), len(plain), middle(restored, wal)/1e6, middle(plain, wal)/1e6, median(loading)/1e6, ratios(altered, plain, wal))
	m.t.Logf("| %s: time of Restore against COPY into indexed, logged tables | %s | at most 1.05 | %d | %.2f s against %.2f s; against the driver's own CopyFrom, %.2f s: %s; with SET LOGGED instead (not read back) %s |",
		name, ratios(restored, plain, wall), len(plain), middle(restored, wall), middle(plain, wall), middle(driver, wall), ratios(restored, driver, wall), ratios(altered, plain, wall))
}

// ratios formats the ratio of each round.
func ratios(a, b []cost, of func(cost) float64) string {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = of(a[i]) / of(b[i])
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(all), slices.Min(all), slices.Max(all))
}

func middle(all []cost, of func(cost) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = of(all[i])
	}
	return median(values)
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// fillTable copies a table's rows over one connection.
type fillTable func(ctx context.Context, conn *pgx.Conn, j *job, s snapshot.State) error

// plain makes logged, indexed tables and fills them one after the other.
func (m *measurement) plain(s snapshot.State, fill fillTable) {
	ctx := m.t.Context()
	for _, j := range plainJobs(ctx, s) {
		exec(m.t, m.conn, "CREATE TABLE plain."+j.kind.String()+" ("+j.columns+", PRIMARY KEY ("+j.key+"))")
	}
	for _, j := range plainJobs(ctx, s) {
		if err := fill(ctx, m.conn, j, s); err != nil {
			m.t.Fatal(err)
		}
	}
}

func plainJobs(ctx context.Context, s snapshot.State) [tableCount]*job {
	r := &restore{cfg: Config{}.withDefaults(), from: s}
	return r.jobs(ctx)
}

// ownCopy sends the same bytes as Restore does.
func ownCopy(ctx context.Context, conn *pgx.Conn, j *job, _ snapshot.State) error {
	_, err := copyIn(ctx, conn, "COPY plain."+j.kind.String()+" ("+j.names+") FROM STDIN (FORMAT binary)", j.tuples())
	return err
}

// pgxCopy is how the driver's documentation has it.
func pgxCopy(ctx context.Context, conn *pgx.Conn, j *job, s snapshot.State) error {
	into, own := pgx.Identifier{"plain", j.kind.String()}, s.Registrations()
	var err error
	switch j.kind {
	case snapshot.Blobs:
		blobs := s.Blobs()
		_, err = conn.CopyFrom(ctx, into, []string{"size", "encoding", "id"}, pgx.CopyFromFunc(func() ([]any, error) {
			b, err := blobs.Next()
			if b == nil || err != nil {
				return nil, err
			}
			return []any{b.Size, int16(b.Encoding), b.ID[:]}, nil
		}))
	case snapshot.Registrations:
		columns := []string{"registered_epoch", "certified_epoch", "end_epoch", "gained", "deletable", "deleted", "blob", "object"}
		_, err = conn.CopyFrom(ctx, into, columns, pgx.CopyFromFunc(func() ([]any, error) {
			r, err := own.Next()
			if r == nil || err != nil {
				return nil, err
			}
			var end any
			if r.EndEpoch != recovery.EpochForever {
				end = int64(r.EndEpoch)
			}
			return []any{int64(r.RegisteredEpoch), int64(r.CertifiedEpoch), end, int64(r.Gained), r.Deletable, r.Deleted, r.Key[:32], r.Key[32:]}, nil
		}))
	}
	return err
}

// setLogged loads unlogged tables over two connections, alters them to be logged
// and adds the primary keys; it reads nothing back.
func (m *measurement) setLogged(s snapshot.State) {
	group, ctx := errgroup.WithContext(m.t.Context())
	for _, jobs := range assign(plainJobs(ctx, s), 2) {
		group.Go(func() error {
			conn, err := pgx.Connect(ctx, m.server.DSN())
			if err != nil {
				return err
			}
			defer func() { _ = closeConn(conn) }()
			for _, j := range jobs {
				name := "plain." + j.kind.String()
				if _, err := conn.Exec(ctx, "CREATE UNLOGGED TABLE "+name+" ("+j.columns+")"); err != nil {
					return err
				}
				if err := ownCopy(ctx, conn, j, s); err != nil {
					return err
				}
				if _, err := conn.Exec(ctx, "ALTER TABLE "+name+" SET LOGGED, ADD PRIMARY KEY ("+j.key+") WITH (fillfactor = 100)"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		m.t.Fatal(err)
	}
}

// shuffledState is a state whose rows come in no order, as no State may: the
// tables that they are put into are the same.
type shuffledState struct {
	*snapshot.Reader
	blobs []snapshot.Blob
	own   []snapshot.Registration
}

func (s shuffledState) Blobs() snapshot.Cursor[snapshot.Blob] {
	return &inMemory[snapshot.Blob]{s.blobs}
}
func (s shuffledState) Registrations() snapshot.Cursor[snapshot.Registration] {
	return &inMemory[snapshot.Registration]{s.own}
}

func shuffle(t testing.TB, r *snapshot.Reader) snapshot.State {
	t.Helper()
	s, random := shuffledState{Reader: r}, rand.New(rand.NewPCG(7, 7))
	var err error
	if s.blobs, err = drain(r.Blobs()); err == nil {
		s.own, err = drain(r.Registrations())
	}
	if err != nil {
		t.Fatal(err)
	}
	random.Shuffle(len(s.blobs), func(i, j int) { s.blobs[i], s.blobs[j] = s.blobs[j], s.blobs[i] })
	random.Shuffle(len(s.own), func(i, j int) { s.own[i], s.own[j] = s.own[j], s.own[i] })
	return s
}

var _ io.Reader = (*stream)(nil)

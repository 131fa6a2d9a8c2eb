package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// COPY's binary format begins and ends with these.
const (
	copyHeader  = "PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000"
	copyTrailer = "\377\377"
)

// stream is the data of one COPY. The driver reads it in a goroutine of its own,
// for which it does not always wait: after stop, and not before, what next reads
// from may be given up.
type stream struct {
	// next appends some whole tuples; io.EOF says that there are no more.
	next func(dst []byte) ([]byte, error)

	mu  sync.Mutex
	buf []byte
	off int
	err error // sticks; io.EOF after the trailer
}

func newStream(next func(dst []byte) ([]byte, error)) *stream {
	return &stream{next: next, buf: []byte(copyHeader)}
}

var errStopped = errors.New("postgres: the copy has ended")

// Read implements io.Reader. It fills p as long as there is something.
func (s *stream) Read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		m := copy(p[n:], s.buf[s.off:])
		n, s.off = n+m, s.off+m
		switch {
		case n == len(p):
			return n, nil
		case s.err != nil:
			return n, s.err
		}
		s.buf, s.off = s.buf[:0], 0
		if s.buf, s.err = s.next(s.buf); errors.Is(s.err, io.EOF) {
			s.buf = append(s.buf, copyTrailer...)
		}
	}
}

// stop waits for a Read under way and makes every later one fail. It returns the
// error that the data ended with.
func (s *stream) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.err
	s.err, s.buf, s.off = errStopped, nil, 0
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// copyIn runs a COPY ... FROM STDIN and returns how many rows the server took.
func copyIn(ctx context.Context, conn *pgx.Conn, sql string, next func(dst []byte) ([]byte, error)) (uint64, error) {
	s := newStream(next)
	tag, err := conn.PgConn().CopyFrom(ctx, s, sql)
	if read := s.stop(); read != nil && ctx.Err() == nil {
		return 0, read // why the server was told to give up
	}
	return copied(tag), err
}

func copied(tag pgconn.CommandTag) uint64 { return uint64(tag.RowsAffected()) }

// spoolRoom is how much of a page, whose smallest size is 8 KiB on a server that
// was not built for others, a spooled run of tuples fills, in bytes.
const spoolRoom = 7_900

// spooled makes runs of tuples of tuples: each is the one column of a row, and
// holds whole ones, so that the order of runs does not matter.
func spooled(tuples func(dst []byte) ([]byte, error)) func(dst []byte) ([]byte, error) {
	var run []byte
	var err error
	return func(dst []byte) ([]byte, error) {
		run = run[:0]
		for err == nil && len(run)+maxTuple <= spoolRoom {
			run, err = tuples(run)
		}
		if len(run) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return tuple(dst).begin(1).bytes(run), nil
		}
		return dst, err
	}
}

// unspooled yields the runs that a query returns.
func unspooled(rows pgx.Rows) func(dst []byte) ([]byte, error) {
	return func(dst []byte) ([]byte, error) {
		if !rows.Next() {
			if err := rows.Err(); err != nil {
				return dst, fmt.Errorf("read the spool: %w", err)
			}
			return dst, io.EOF
		}
		raw := rows.RawValues()
		if len(raw) != 1 {
			return dst, fmt.Errorf("%w: a spooled row has %d columns", ErrDamaged, len(raw))
		}
		return append(dst, raw[0]...), nil
	}
}

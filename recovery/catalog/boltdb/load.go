package boltdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

const (
	pageSize = 4096
	// arenaSize is the memory that values are put into at a time, in bytes.
	arenaSize = 1 << 20
	// maxValue bounds a value, in bytes.
	maxValue = 128
	// rowRoom is what a row takes in the file, roughly, in bytes.
	rowRoom = 160
	// mmapMin and mmapMax bound the address space that is taken at first, in bytes.
	mmapMin, mmapMax = 1 << 20, 1 << 34
)

// loader puts rows by rising keys into a new file. Nothing is durable before
// finish returns.
type loader struct {
	db    *bbolt.DB
	batch int // rows a transaction
	step  func(step string)
	disk  disk

	tx       *bbolt.Tx
	bucket   *bbolt.Bucket
	rows     int      // in tx
	arenas   [][]byte // the values of tx, which bbolt does not copy
	arena    int      // the one in use
	all      uint64
	progress func(rows uint64)

	last [tableCount][]byte // the last key of each table
}

// newLoader makes the file, which must not be there. rows is how many are
// expected; a wrong number costs time.
func newLoader(path string, rows snapshot.Counts, c Config) (*loader, error) {
	room := (rows.Blobs + rows.Registrations + rows.Pooled + rows.Pools) * rowRoom
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{
		Timeout: time.Second, PageSize: pageSize, NoSync: true, NoGrowSync: true,
		InitialMmapSize: int(min(max(room, mmapMin), mmapMax)),
	})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	return &loader{db: db, batch: c.BatchRows, step: c.step, disk: c.disk, progress: c.Progress}, nil
}

// state puts all of a state.
func (l *loader) state(ctx context.Context, s snapshot.State) error {
	if err := loadTable(ctx, l, s.Blobs()); err != nil {
		return err
	}
	if err := loadTable(ctx, l, s.Registrations()); err != nil {
		return err
	}
	if err := loadTable(ctx, l, s.Pooled()); err != nil {
		return err
	}
	return loadTable(ctx, l, &pools{s.Pools()})
}

// pools is a cursor over pools in memory.
type pools struct{ rest []snapshot.Pool }

// Next implements snapshot.Cursor.
func (p *pools) Next() (*snapshot.Pool, error) {
	if len(p.rest) == 0 {
		return nil, nil
	}
	row := &p.rest[0]
	p.rest = p.rest[1:]
	return row, nil
}

// ctxEvery is how many rows lie between two looks at a context.
const ctxEvery = 1024

// loadTable puts all rows of a table, in transactions of their own.
func loadTable[R any, P snapshot.Row[R]](ctx context.Context, l *loader, from snapshot.Cursor[R]) error {
	table := P(new(R)).Table()
	sums, before := newSums(table), []byte(nil)
	if err := l.begin(table); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next, err := from.Next()
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		if l.rows == l.batch {
			if err := errors.Join(l.commit(), l.begin(table)); err != nil {
				return err
			}
		}
		row := P(next)
		value := snapshot.AppendValue(l.value(), row)
		binary.BigEndian.PutUint32(value, sums.of(before, row.RowKey(), value[sumLength:]))
		if err := l.bucket.Put(row.RowKey(), l.keep(value)); err != nil {
			return fmt.Errorf("put a row of %v: %w", table, err)
		}
		before = append(before[:0], row.RowKey()...)
	}
	l.last[table-1] = before
	return l.commit()
}

// begin begins a transaction in a table.
func (l *loader) begin(t snapshot.Table) (err error) {
	if l.tx, err = l.db.Begin(true); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	l.bucket, err = l.tx.CreateBucketIfNotExists([]byte(t.String()))
	if err != nil {
		return fmt.Errorf("create the bucket of %v: %w", t, err)
	}
	l.bucket.FillPercent = 1 // nothing is put between the rows later
	l.rows, l.arena = 0, 0
	for i := range l.arenas {
		l.arenas[i] = l.arenas[i][:0]
	}
	return nil
}

func (l *loader) commit() error {
	tx := l.tx
	l.tx = nil
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	l.all += uint64(l.rows)
	if l.progress != nil {
		l.progress(l.all)
	}
	l.step(stepLoading)
	return nil
}

// value returns room for a value, its checksum included.
func (l *loader) value() []byte {
	if l.arena < len(l.arenas) && cap(l.arenas[l.arena])-len(l.arenas[l.arena]) < sumLength+maxValue {
		l.arena++
	}
	if l.arena == len(l.arenas) {
		l.arenas = append(l.arenas, make([]byte, 0, arenaSize))
	}
	a := l.arenas[l.arena]
	return a[len(a) : len(a)+sumLength]
}

// keep takes the room of a value that value gave room to.
func (l *loader) keep(value []byte) []byte {
	l.rows++
	l.arenas[l.arena] = l.arenas[l.arena][:len(l.arenas[l.arena])+len(value)]
	return value
}

// finish says which state it is, and makes the file durable.
func (l *loader) finish(d state) error {
	value, err := d.encode()
	if err != nil {
		return err
	}
	err = l.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(metaBucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(stateKey), value)
	})
	if err != nil {
		return fmt.Errorf("write the state's description: %w", err)
	}
	if err := l.disk.sync(l.db); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// close gives the file back, whatever became of the load.
func (l *loader) close() error {
	if l.tx != nil {
		_ = l.tx.Rollback() // of what is thrown away
	}
	return l.db.Close()
}

// guarded turns a panic of bbolt, and a fault in the memory it maps (a disk that
// can't be read), into an error.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bbolt panicked: %v", p)
		}
	}()
	return fn()
}

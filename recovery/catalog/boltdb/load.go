package boltdb

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// loader puts the tables of a state into a file by way of a builder.
type loader struct {
	build    *builder
	progress func(rows uint64)
	rows     uint64
	buckets  map[string]uint64  // roots
	last     [tableCount][]byte // the last key of each table
}

// state puts all of a state, and ends the file: it returns its meta pages.
func (l *loader) state(ctx context.Context, s snapshot.State, sum snapshot.Summary) (metas []byte, err error) {
	if err := loadTable(ctx, l, s.Blobs()); err != nil {
		return nil, err
	}
	if err := loadTable(ctx, l, s.Registrations()); err != nil {
		return nil, err
	}
	if err := loadTable(ctx, l, s.Pooled()); err != nil {
		return nil, err
	}
	if err := loadTable(ctx, l, &pools{s.Pools()}); err != nil {
		return nil, err
	}
	value, err := describe(s.Header(), sum, l.last).encode()
	if err != nil {
		return nil, err
	}
	if err := l.build.put(0, []byte(stateKey), value); err != nil {
		return nil, err
	}
	if l.buckets[metaBucket], err = l.build.endTree(); err != nil {
		return nil, err
	}
	return l.root()
}

// root puts the buckets into the root bucket.
func (l *loader) root() (metas []byte, err error) {
	names := make([]string, 0, len(l.buckets))
	for name := range l.buckets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := binary.NativeEndian.AppendUint64(nil, l.buckets[name])
		value = binary.NativeEndian.AppendUint64(value, 0) // sequence
		if err := l.build.put(flagBucket, []byte(name), value); err != nil {
			return nil, err
		}
	}
	root, err := l.build.endTree()
	return l.build.metas(root), err
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

// toldEvery is how many rows lie between two reports, and two looks at a context.
const toldEvery = 1 << 10

// loadTable puts all rows of a table, and ends its tree.
func loadTable[R any, P snapshot.Row[R]](ctx context.Context, l *loader, from snapshot.Cursor[R]) error {
	table := P(new(R)).Table()
	sums, before, value := newSums(table), []byte(nil), []byte(nil)
	for {
		if l.rows%toldEvery == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			l.progress(l.rows)
		}
		next, err := from.Next()
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		row := P(next)
		value = snapshot.AppendValue(append(value[:0], make([]byte, sumLength)...), row)
		binary.BigEndian.PutUint32(value, sums.of(before, row.RowKey(), value[sumLength:]))
		if err := l.build.put(0, row.RowKey(), value); err != nil {
			return err
		}
		before = append(before[:0], row.RowKey()...)
		l.rows++
	}
	l.last[table-1] = before
	root, err := l.build.endTree()
	l.buckets[table.String()] = root
	return err
}

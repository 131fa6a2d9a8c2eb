package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// view is the present state in one short read transaction.
type view struct {
	b     buckets
	meta  meta
	base  *base
	pools *poolSet
}

// read runs fn on the present state. What fn does must be short: as long as it
// takes, no page of log.db is used again (hazard 35).
func (c *Catalog) read(ctx context.Context, fn func(*view) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	tx, bs, err := c.begin()
	if err != nil {
		return err
	}
	defer bs.release()
	return c.damage(boltfile.Guard(func() (err error) {
		defer func() { err = errors.Join(err, tx.Rollback()) }()
		v := &view{base: bs}
		if v.b, err = bucketsOf(tx); err != nil {
			return err
		}
		if v.meta, err = v.b.readMeta(); err != nil {
			return err
		}
		if v.pools, err = c.pools.of(&v.b, &v.meta, bs); err != nil {
			return err
		}
		return fn(v)
	}))
}

// begin begins a read transaction, with a reference to the base that belongs to
// it: the base is switched only while nobody is here.
func (c *Catalog) begin() (tx *bbolt.Tx, bs *base, err error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if err := c.usable(); err != nil {
		return nil, nil, err
	}
	err = boltfile.Guard(func() (err error) {
		tx, err = c.db.db.Begin(false)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", c.db.path, err)
	}
	return tx, c.base.retain(), nil
}

// damage puts the path into an error about log.db.
func (c *Catalog) damage(err error) error {
	var d *DamageError
	if errors.As(err, &d) && d.Path == "" {
		d.Path = c.db.path
	}
	return err
}

// layers are those of the view.
func (v *view) layers() *layers { return &layers{base: v.base.position(), reborn: v.pools.reborn} }

// scan returns a scan of the state, given cursors of its base.
func (v *view) scan(in snapshot.Cursors) *snapshot.Scan {
	l := v.layers()
	at := v.meta.Stamp
	at.Position = l.base // what an unknown gained position stands for
	return snapshot.NewScan(at, l.over(in, l.inLog(&v.b)), v.pools.all)
}

// poolSet are the pools of a state, those that have ended among them.
type poolSet struct {
	base    *base
	changed uint64 // meta.Pools
	all     []snapshot.Pool
	reborn  map[snapshot.PoolID]uint64 // see layers
}

func (p *poolSet) rebornCopy() map[snapshot.PoolID]uint64 {
	if p.reborn == nil {
		return map[snapshot.PoolID]uint64{}
	}
	return maps.Clone(p.reborn)
}

// poolCache keeps the pools that were asked for last.
type poolCache struct {
	mu   sync.Mutex
	last *poolSet
}

// of returns the pools of the state that a transaction sees.
func (c *poolCache) of(b *buckets, m *meta, bs *base) (*poolSet, error) {
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last != nil && last.base == bs && last.changed == m.Pools {
		return last, nil
	}
	p, err := mergePools(b, bs)
	if err != nil {
		return nil, err
	}
	p.changed = m.Pools
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = p
	return p, nil
}

// mergePools lays the delta's pools over the base's.
func mergePools(b *buckets, bs *base) (*poolSet, error) {
	p := &poolSet{base: bs, reborn: map[snapshot.PoolID]uint64{}}
	l := &layers{base: bs.position()}
	delta := newDelta[snapshot.Pool](l, b)
	merged := snapshot.Lay(&poolSeeker{rest: bs.Reader.Pools(), from: l.base}, snapshot.DeltaCursor[snapshot.Pool](&rebirths{delta, p}))
	for {
		row, err := merged.Next()
		if row == nil || err != nil {
			return p, err
		}
		p.all = append(p.all, *row)
	}
}

// rebirths notes pools that were reborn while the delta's pools are read. A pool
// that the delta drops has ended, and stays: what is left of it names it.
type rebirths struct {
	*deltaCursor[snapshot.Pool, *snapshot.Pool]
	p *poolSet
}

// Next implements snapshot.DeltaCursor.
func (r *rebirths) Next() (*snapshot.Pool, bool, error) {
	row, dropped, err := r.deltaCursor.Next()
	if row == nil || err != nil {
		return nil, false, err
	}
	if since := r.rec.since; since > r.l.base {
		r.p.reborn[row.ID] = since
	}
	return row, dropped, nil
}

// poolSeeker yields a base's pools, with positions in place of unknown ones.
type poolSeeker struct {
	rest []snapshot.Pool
	from uint64
	row  snapshot.Pool
}

// Next implements snapshot.Cursor.
func (p *poolSeeker) Next() (*snapshot.Pool, error) {
	if len(p.rest) == 0 {
		return nil, nil
	}
	p.row, p.rest = known(&p.rest[0], p.from), p.rest[1:]
	return &p.row, nil
}

// Seek implements snapshot.Seeker; pools are not sought.
func (p *poolSeeker) Seek(id recovery.BlobID) error {
	for len(p.rest) > 0 && bytes.Compare(p.rest[0].ID[:], id[:]) < 0 {
		p.rest = p.rest[1:]
	}
	return nil
}

package eventlog

import (
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// work is the state inside one write transaction: the base with the delta over
// it, read by key and changed by events.
type work struct {
	b      *buckets
	m      *meta
	base   *base
	layers *layers
	look   *snapshot.Lookup // into the base
	now    uint64           // the event being applied

	all, own cursorsOf // registrations of a blob: all of them, and those in the delta
	absent   recovery.BlobID
	lacks    bool // the base has no row of absent
	recount  bool // an epoch began: the sums are to be counted anew
}

// cursorsOf are the registrations that lie there, ended or not.
type cursorsOf struct {
	registrations snapshot.Seeker[snapshot.Registration]
	pooled        snapshot.Seeker[snapshot.Pooled]
}

// newWork begins work on a transaction. reborn is the work's own from now on.
func newWork(b *buckets, m *meta, bs *base, reborn map[snapshot.PoolID]uint64) *work {
	w := &work{b: b, m: m, base: bs, layers: &layers{base: bs.position(), reborn: reborn}}
	in := stickyCursors(bs.Cursors())
	w.look = snapshot.NewLookup(in, bs.Reader.Pools())
	over := w.layers.over(in, w.layers.inLog(b))
	w.all = cursorsOf{over.Registrations, over.Pooled}
	alone := w.layers.over(snapshot.Cursors{
		Blobs: nothing[snapshot.Blob]{}, Registrations: nothing[snapshot.Registration]{}, Pooled: nothing[snapshot.Pooled]{},
	}, w.layers.inLog(b))
	w.own = cursorsOf{alone.Registrations, alone.Pooled}
	return w
}

func (w *work) tables() event.Tables {
	return event.Tables{Blobs: blobTable{w}, Registrations: registrationTable{w}, Pooled: pooledTable{w}, Pools: poolTable{w}, Epochs: w}
}

// Epoch implements event.Epochs.
func (w *work) Epoch() uint32 { return w.m.Epoch }

// Start implements event.Epochs. What has ended stays where it lies and is passed
// over from now on.
func (w *work) Start(epoch uint32) error {
	w.m.Epoch, w.recount = epoch, true
	return nil
}

// fetch reads what the delta has for a key. there is false where only the base
// can say.
func fetch[R any, P snapshot.Row[R]](w *work, key []byte) (rec record[R], there bool, err error) {
	var row P
	raw := w.b.delta[row.Table()-1].Get(key)
	if raw == nil {
		return rec, false, nil
	}
	err = parseRecord[R, P](&rec, key, raw)
	return rec, err == nil && rec.touched > w.layers.base, err
}

// store writes a record of the present event, and keeps the sum over all records.
func store[R any, P snapshot.Row[R]](w *work, rec *record[R]) (added bool, err error) {
	rec.touched = w.now
	table, key := P(&rec.row).Table(), P(&rec.row).RowKey()
	bucket := w.b.delta[table-1]
	raw := appendRecord[R, P](make([]byte, 0, maxRecord), rec) // bbolt keeps it until the commit
	if old := bucket.Get(key); old != nil {
		w.m.Delta -= recordHash(table, key, old)
	} else {
		added = true
	}
	w.m.Delta += recordHash(table, key, raw)
	return added, bucket.Put(key, raw)
}

type blobTable struct{ w *work }

// Get implements event.Table. A blob that nothing registers any more is not there.
func (t blobTable) Get(id recovery.BlobID) (snapshot.Blob, bool, error) {
	row, since, there, err := t.w.blob(id)
	if err != nil || !there || row.Invalidated != 0 {
		return row, there, err
	}
	stands, err := t.w.stands(id, since)
	return row, stands, err
}

// Put implements event.Table.
func (t blobTable) Put(row snapshot.Blob) error {
	_, since, there, err := t.w.blob(row.ID)
	if err != nil {
		return err
	}
	if !there {
		since = t.w.now
	}
	_, err = store[snapshot.Blob](t.w, &record[snapshot.Blob]{row: row, since: since})
	return err
}

// blob finds what lies there for a blob, standing or not. since: see record.
func (w *work) blob(id recovery.BlobID) (row snapshot.Blob, since uint64, there bool, err error) {
	rec, there, err := fetch[snapshot.Blob](w, id[:])
	switch {
	case err != nil:
		return row, 0, false, err
	case there && !rec.dropped:
		return rec.row, rec.since, true, nil
	case w.lacks && w.absent == id:
		return row, 0, false, nil
	}
	b, err := w.look.Blob(id)
	if err != nil {
		return row, 0, false, fmt.Errorf("read base: %w", err)
	}
	if b == nil {
		w.absent, w.lacks = id, true
		return row, 0, false, nil
	}
	return *b, 0, true, nil // dropped keys too: nothing stands for them
}

// in returns the cursors over the registrations of a blob.
func (w *work) in(since uint64) cursorsOf {
	if since > w.layers.base {
		return w.own // the base has nothing of it
	}
	return w.all
}

// stands reports whether anything that has not ended registers the blob.
func (w *work) stands(id recovery.BlobID, since uint64) (stands bool, err error) {
	err = w.registrations(id, since, func(*snapshot.Registration, *snapshot.Pooled) bool {
		stands = true
		return false
	})
	return stands, err
}

// certified reports whether the blob is certified, and how large it is.
func (w *work) certified(id recovery.BlobID) (blob snapshot.Blob, certified bool, err error) {
	blob, since, there, err := w.blob(id)
	if err != nil || !there || blob.Invalidated != 0 {
		return blob, false, err
	}
	err = w.registrations(id, since, func(own *snapshot.Registration, pooled *snapshot.Pooled) bool {
		certified = own != nil && own.Certified && !own.Deleted || pooled != nil && pooled.Certified
		return !certified
	})
	return blob, certified, err
}

// registrations visits those of a blob that have not ended, until visit returns
// false.
func (w *work) registrations(id recovery.BlobID, since uint64, visit func(*snapshot.Registration, *snapshot.Pooled) bool) error {
	in := w.in(since)
	if err := in.registrations.Seek(id); err != nil {
		return err
	}
	for {
		r, err := in.registrations.Next()
		if err != nil {
			return err
		}
		if r == nil || r.Key.Blob() != id {
			break
		}
		if r.EndEpoch > w.m.Epoch && !visit(r, nil) {
			return nil
		}
	}
	if err := in.pooled.Seek(id); err != nil {
		return err
	}
	for {
		p, err := in.pooled.Next()
		if p == nil || err != nil || p.Key.Blob() != id {
			return err
		}
		if _, live, err := (poolTable{w}).Get(p.Pool); err != nil {
			return err
		} else if live && !visit(nil, p) {
			return nil
		}
	}
}

type registrationTable struct{ w *work }

// Get implements event.Table.
func (t registrationTable) Get(key snapshot.Key) (row snapshot.Registration, there bool, err error) {
	rec, found, err := fetch[snapshot.Registration](t.w, key[:])
	if err != nil {
		return row, false, err
	}
	row = rec.row
	if !found {
		if skip, err := t.w.newBlob(key.Blob()); skip || err != nil {
			return row, false, err
		}
		r, err := t.w.look.Registration(key)
		if r == nil || err != nil {
			return row, false, readBase(err)
		}
		row = known(r, t.w.layers.base)
	}
	return row, !rec.dropped && row.EndEpoch > t.w.m.Epoch, nil
}

// Put implements event.Table.
func (t registrationTable) Put(row snapshot.Registration) error {
	_, err := store[snapshot.Registration](t.w, &record[snapshot.Registration]{row: row})
	return err
}

// newBlob reports whether the delta knows that the base has nothing of a blob.
func (w *work) newBlob(id recovery.BlobID) (bool, error) {
	if w.lacks && w.absent == id {
		return true, nil
	}
	rec, there, err := fetch[snapshot.Blob](w, id[:])
	return there && rec.since > w.layers.base, err
}

type pooledTable struct{ w *work }

// Get implements event.Table.
func (t pooledTable) Get(key snapshot.Key) (row snapshot.Pooled, there bool, err error) {
	rec, found, err := fetch[snapshot.Pooled](t.w, key[:])
	if err != nil {
		return row, false, err
	}
	row = rec.row
	written := rec.touched
	if !found {
		if skip, err := t.w.newBlob(key.Blob()); skip || err != nil {
			return row, false, err
		}
		p, err := t.w.look.Pooled(key)
		if p == nil || err != nil {
			return row, false, readBase(err)
		}
		row, written = known(p, t.w.layers.base), t.w.layers.base
	}
	if rec.dropped || written < t.w.layers.reborn[row.Pool] {
		return row, false, nil
	}
	_, there, err = poolTable(t).Get(row.Pool)
	return row, there, err
}

// Put implements event.Table.
func (t pooledTable) Put(row snapshot.Pooled) error {
	_, err := store[snapshot.Pooled](t.w, &record[snapshot.Pooled]{row: row})
	return err
}

type poolTable struct{ w *work }

// Get implements event.Table.
func (t poolTable) Get(id snapshot.PoolID) (snapshot.Pool, bool, error) {
	row, _, there, err := t.w.pool(id)
	return row, there && row.EndEpoch > t.w.m.Epoch, err
}

// Put implements event.Table.
func (t poolTable) Put(row snapshot.Pool) error {
	w := t.w
	old, since, there, err := w.pool(row.ID)
	if err != nil {
		return err
	}
	if there && old.EndEpoch <= w.m.Epoch {
		since = w.now
		w.layers.reborn[row.ID] = since
	}
	added, err := store[snapshot.Pool](w, &record[snapshot.Pool]{row: row, since: since})
	if err != nil {
		return err
	}
	if added {
		w.m.PoolRows++
	}
	w.m.Pools = w.now
	if n := uint64(len(w.base.Reader.Pools())) + w.m.PoolRows; n > snapshot.MaxPools {
		return fmt.Errorf("%w: %d at event %d, those that have ended since the last full snapshot among them", ErrPools, n, w.now)
	}
	return nil
}

// pool finds what lies there for a pool, ended or not. A dropped one lies in the
// base, and has ended.
func (w *work) pool(id snapshot.PoolID) (row snapshot.Pool, since uint64, there bool, err error) {
	rec, found, err := fetch[snapshot.Pool](w, id[:])
	switch {
	case err != nil:
		return row, 0, false, err
	case found && rec.dropped:
		return snapshot.Pool{ID: id}, 0, true, nil
	case found:
		return rec.row, rec.since, true, nil
	}
	if p := w.look.Pool(id); p != nil {
		return known(p, w.layers.base), 0, true, nil
	}
	return row, 0, false, nil
}

func readBase(err error) error {
	if err != nil {
		return fmt.Errorf("read base: %w", err)
	}
	return nil
}

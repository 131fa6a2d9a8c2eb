package eventlog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/boltfile"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/regular"
)

// nextChain is the chain after an event.
func nextChain(chain recovery.Digest, raw []byte) recovery.Digest {
	h := sha256.New()
	h.Write(chain[:])
	h.Write(raw)
	return recovery.ReplayedDigest([32]byte(h.Sum(nil)))
}

// findings are what a log.db was found to hold.
type findings struct {
	meta   meta
	torn   uint64 // events beyond the position, which nothing was made of
	told   bool   // the meta was there
	next   uint64 // the number of the event that must come next
	last   event.Kind
	chain  recovery.Digest
	delta  uint64
	pools  uint64
	byName map[string]func(key, value []byte) error
}

// examine proves a log.db by itself, whole, without bbolt: every page, every
// record, that no event is missing, that they lead to the chain, and that the
// delta is the one that was written last. An error is damage, wraps ErrVersion, or
// is the operating system's and says nothing about the file (hazard 43).
func examine(path string) (f *findings, err error) {
	file, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	f, err = examinePages(file, info.Size())
	var d *DamageError
	if errors.As(err, &d) {
		d.Path = path
		return nil, d
	}
	return f, err
}

func examinePages(r io.ReaderAt, size int64) (*findings, error) {
	f := &findings{}
	f.byName = map[string]func(key, value []byte) error{
		bucketMeta: f.takeMeta, bucketEvents: f.takeEvent, bucketPins: takePin,
		bucketBlobs: takeRecord[snapshot.Blob](f), bucketRegistrations: takeRecord[snapshot.Registration](f),
		bucketPooled: takeRecord[snapshot.Pooled](f), bucketPools: takeRecord[snapshot.Pool](f),
	}
	_, err := boltfile.Walk(r, size, func(bucket, key, value []byte) error {
		take := f.byName[string(bucket)]
		if take == nil || !f.told && string(bucket) != bucketMeta {
			return damaged("it has a bucket %q, or no description before it", bucket)
		}
		return take(key, value)
	})
	var bad *boltfile.Damage
	switch m := &f.meta; {
	case errors.As(err, &bad):
		return nil, damaged("%s", bad.What)
	case err != nil:
		return nil, err
	case !f.told:
		return nil, damaged("it has no description")
	case f.next <= m.Position:
		return nil, &DamageError{What: "a hole among the events", Err: &event.MissingError{First: f.next}}
	case f.chain != m.Chain:
		return nil, damaged("the events up to %d do not lead to the state", m.Position)
	case f.delta != m.Delta || f.pools != m.PoolRows:
		return nil, damaged("the changed rows are not those that were written last")
	}
	return f, nil
}

func (f *findings) takeMeta(key, value []byte) (err error) {
	if string(key) != string(metaKey()) {
		return damaged("its description has a key %q", key)
	}
	f.meta, err = decodeMeta(value)
	f.told, f.next, f.chain = true, f.meta.First, f.meta.Before
	return err
}

func (f *findings) takeEvent(key, value []byte) error {
	if len(key) != 8 {
		return damaged("an event has the key %x", key)
	}
	at := keyPosition(key)
	if at > f.meta.Position {
		f.torn++ // whatever it is: it was not applied
		return nil
	}
	e, err := event.ParseBinary(value)
	switch {
	case at != f.next:
		return &DamageError{What: "a hole among the events", Err: &event.MissingError{First: f.next, Found: at}}
	case err != nil:
		return &DamageError{What: fmt.Sprintf("event %d", at), Err: err}
	case e.Position != at:
		return damaged("event %d calls itself %d", at, e.Position)
	}
	f.chain, f.last = nextChain(f.chain, value), e.Kind
	f.next++
	return nil
}

func takePin(key, value []byte) error {
	if len(key) != 8+32 || len(value) != 0 {
		return damaged("a bound has the key %x", key)
	}
	return nil
}

func takeRecord[R any, P snapshot.Row[R]](f *findings) func(key, value []byte) error {
	return func(key, value []byte) error {
		var rec record[R]
		if err := parseRecord[R, P](&rec, key, value); err != nil {
			return err
		}
		var row P
		if rec.touched > f.meta.Position || rec.since > f.meta.Position {
			return damaged("record %x of %v is of event %d, beyond position %d", key, row.Table(), rec.touched, f.meta.Position)
		}
		f.delta += recordHash(row.Table(), key, value)
		if row.Table() == snapshot.Pools {
			f.pools++
		}
		return nil
	}
}

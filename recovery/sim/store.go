package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// shelf is a process's use of the store: its handles stay with the root they were
// opened in, also when another is mounted in its place.
type shelf struct {
	w       *world
	root    *root // nil: not prepared
	req     recovery.StoreRequest
	flushed map[*volume]bool // since this process began
	broken  error            // a failed flush, which sticks
}

// prepare opens the store by the rules of package store: look, decide, make what is
// missing, and flush what an earlier process left before anything is listed. claims:
// progress claimed work when it was asked for.
func (s *shelf) prepare(req recovery.StoreRequest, claims bool) (recovery.StoreReport, error) {
	d := &s.w.disk
	if s.broken != nil {
		return recovery.StoreReport{}, s.broken
	}
	if err := d.read(); err != nil {
		return recovery.StoreReport{}, err
	}
	at := d.root
	found := store.Found{Root: at.marker != nil || len(at.shards) > 0, Marker: at.marker, Shards: map[uint32]store.FoundShard{}}
	for shard := range store.Places(req.Placement, req.Owned) {
		if m, there := at.shards[shard]; there {
			found.Shards[shard] = store.FoundShard{Marker: m, Empty: true}
		}
	}
	plan, err := store.Decide(req, store.Policy{Create: true, Layout: store.Flat}, found, d.markerID)
	if err != nil {
		return recovery.StoreReport{}, err
	}
	if plan.WriteRoot {
		s.w.oracle.makesRoot(claims)
		if err := d.write(); err != nil {
			return recovery.StoreReport{}, err
		}
		at.marker = &plan.Root
	}
	for _, p := range plan.Shards {
		if !p.Write {
			continue
		}
		if err := d.write(); err != nil {
			return recovery.StoreReport{}, err
		}
		at.shards[p.Marker.Shard] = &p.Marker
	}
	if err := s.flushLeftovers(at, plan); err != nil {
		s.broken = fmt.Errorf("flush what is there: %w: %w", recovery.ErrInDoubt, err)
		return recovery.StoreReport{}, s.broken
	}
	s.root, s.req = at, req
	for _, v := range at.volumes {
		if p := s.w.proc; !slices.Contains(p.volumes, v) {
			p.volumes = append(p.volumes, v)
		}
	}
	s.w.oracle.storeOpened(plan.Report.Identity, at, req.Owned)
	return plan.Report, nil
}

func (s *shelf) flushLeftovers(at *root, plan store.Plan) error {
	for _, p := range plan.Shards {
		v := at.volumeOf(p.Marker.Shard)
		if s.flushed[v] {
			continue
		}
		if err := v.sync(); err != nil {
			return err
		}
		s.flushed[v] = true
	}
	return nil
}

// list marks the rows of which every owned piece has its name.
func (s *shelf) list(rows []recovery.Row) error {
	if s.root == nil {
		return store.ErrNotPrepared
	}
	if err := s.w.disk.read(); err != nil {
		return err
	}
	for i := range rows {
		rows[i].Stored = true
		for _, shard := range s.req.Placement.Holders(nil, rows[i].ID, s.req.TotalShards, s.req.Owned) {
			if s.root.file(pieceKey{rows[i].ID, shard}).seen == missing {
				rows[i].Stored = false
			}
		}
	}
	return nil
}

// Has is part of syncer.Store.
func (s *shelf) Has(_ context.Context, p syncer.Piece) (bool, error) {
	if s.root == nil {
		return false, store.ErrNotPrepared
	}
	if err := s.w.disk.read(); err != nil {
		return false, err
	}
	return s.root.file(pieceKey{p.Blob.ID, p.Shard}).seen != missing, nil
}

// Create is part of syncer.Store.
func (s *shelf) Create(_ context.Context, p syncer.Piece, _ int64) (syncer.Draft, error) {
	if s.root == nil || !s.req.Owned.Contains(p.Shard) {
		return nil, store.ErrNotPrepared
	}
	if err := s.w.disk.write(); err != nil {
		return nil, err
	}
	return &draft{volume: s.root.volumeOf(p.Shard), key: pieceKey{p.Blob.ID, p.Shard}, piece: p}, nil
}

// Close is nothing to do.
func (s *shelf) Close() error { return nil }

// draft is a piece under way.
type draft struct {
	volume  *volume
	key     pieceKey
	piece   syncer.Piece
	bytes   []byte
	sealed  bool
	content content
	durable bool // its bytes are on the disk
	dropped bool // a failed flush lost them; none after it brings them back
}

func (f *draft) kept() content {
	if f.durable {
		return f.content
	}
	return hollow
}

func (f *draft) Write(p []byte) (int, error) {
	if err := f.volume.disk.write(); err != nil {
		return 0, err
	}
	f.bytes = append(f.bytes, p...)
	return len(p), nil
}

func (f *draft) Reset() error {
	f.bytes = f.bytes[:0]
	return nil
}

func (f *draft) Seal() error {
	if err := f.volume.disk.write(); err != nil {
		return err
	}
	f.sealed, f.content = true, wrong
	if string(f.bytes) == string(f.volume.disk.w.pieceData(f.piece)) {
		f.content = right
	}
	return nil
}

func (f *draft) Volume() syncer.Volume { return (*shelfVolume)(f.volume) }

func (f *draft) Publish() error {
	d := f.volume.disk
	if !f.sealed {
		return errors.New("sim: published before it was sealed")
	}
	halfway, err := d.op()
	if err != nil && !halfway || err == nil && d.w.fault(WriteError) {
		return errors.Join(err, errIO)
	}
	if !halfway || d.w.coin() {
		v := f.volume
		if v.files[f.key] == nil {
			v.files[f.key] = &file{}
		}
		v.files[f.key].seen = f.content
		v.dirty = append(v.dirty, naming{f.key, f})
	}
	return err
}

func (f *draft) Discard() error { return nil }

// shelfVolume is a volume as the barrier sees it.
type shelfVolume volume

func (v *shelfVolume) Flush(data, names []syncer.Draft) error {
	return (*volume)(v).flush(bare(data), bare(names))
}

func bare(drafts []syncer.Draft) (inner []*draft) {
	for _, d := range drafts {
		inner = append(inner, d.(*draft))
	}
	return inner
}

package fs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// Inventory answers "which of these blobs are stored on every owned shard?" for
// one ownership, by merging sorted directory listings with rows in id order. Each
// shard keeps one window of its listing, so that the next page costs no reading;
// all windows together keep to Config.ListingMemory, whatever the store's size.
//
// A window may be out of date in one direction only: a blob stored since it was
// read is "not stored", and the syncer asks Has before it does anything.
type Inventory struct {
	layout    store.Layout
	placement shards.Placement
	total     uint32
	pieceSize func(syncer.Piece) int64
	pending   *pending // nil: nothing is written here
	limit     int      // most ids of one window
	listers   int

	mu     sync.Mutex // one Mark at a time; it guards everything below
	shards []listed   // the owned shards, in rising order, and then the manifests
	place  []int32    // place in shards by shard number; -1: not owned
	// manifests: the last of shards is the manifests' directory.
	manifests bool
	walk      sequence
}

// listed is an owned shard with its window.
type listed struct {
	dir     *shardDir // nil: it is not there, so nothing is stored in it
	foreign bool      // types and sizes are looked at one by one
	win     window
	entries int // about how many pieces it holds; 0: never listed
	want    []wanted
}

// minWindow is the least number of ids a window is worth keeping for. With so
// many shards that the memory does not suffice for it nothing is listed.
const minWindow = 256

func newInventory(cfg Config, layout store.Layout, req recovery.StoreRequest, owned []listed, p *pending) *Inventory {
	inv := &Inventory{
		layout: layout, placement: req.Placement, total: req.TotalShards, pieceSize: cfg.PieceSize,
		pending: p, listers: cfg.Listers, shards: owned, place: make([]int32, req.TotalShards),
		manifests: len(owned) > req.Owned.Len(),
	}
	if len(owned) > 0 {
		inv.limit = cfg.ListingMemory / len(recovery.BlobID{}) / len(owned)
	}
	for i := range inv.place {
		inv.place[i] = -1
	}
	i := int32(0)
	for shard := range req.Owned.All() {
		inv.place[shard] = i
		i++
	}
	return inv
}

// Mark sets Stored on the rows, which are in rising order: true where a durable
// piece of the blob is on every owned shard that has to hold one, and with them the
// manifest of a striped one; false for a blob that concerns no owned shard. After an error nothing is known of any row.
func (inv *Inventory) Mark(ctx context.Context, rows []recovery.Row) error {
	for i := 1; i < len(rows); i++ {
		if compareIDs(&rows[i-1].ID, &rows[i].ID) >= 0 {
			return fmt.Errorf("%w: %s comes before %s", store.ErrOrder, rows[i-1].ID, rows[i].ID)
		}
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	defer inv.forget()
	m := marking{inv: inv, rows: rows, found: make([]atomic.Int32, len(rows))}
	lookups := m.assign()
	var err error
	if inv.worthListing(rows, lookups) {
		err = m.list(ctx)
	} else {
		err = m.lookUp(ctx)
	}
	if err != nil {
		return fmt.Errorf("look what is stored: %w", err)
	}
	for i := range rows {
		rows[i].Stored = m.isStored(i)
	}
	return nil
}

// forget empties the shards' lists of wanted rows and keeps their memory.
func (inv *Inventory) forget() {
	for i := range inv.shards {
		inv.shards[i].want = inv.shards[i].want[:0]
	}
}

// marking is one call of Mark. Its parts run on several goroutines, each of
// which has shards of its own.
type marking struct {
	inv   *Inventory
	rows  []recovery.Row
	found []atomic.Int32 // pieces found, by row
}

// assign tells every shard which rows it is asked about, and returns how many
// questions that makes.
func (m *marking) assign() (lookups int) {
	inv := m.inv
	for i := range m.rows {
		w := wanted{id: m.rows[i].ID, row: i}
		if inv.placement == shards.Striped {
			places := inv.shards[:m.needs(i)]
			for s := range places {
				places[s].want = append(places[s].want, w)
			}
			lookups += len(places)
			continue
		}
		if at := inv.place[shards.Home(w.id, inv.total)]; at >= 0 {
			inv.shards[at].want = append(inv.shards[at].want, w)
			lookups++
		}
	}
	return lookups
}

// isStored reports whether every piece that the row needs was found.
func (m *marking) isStored(row int) bool {
	need := m.needs(row)
	return need > 0 && int(m.found[row].Load()) == need
}

// needs is in how many places something of the row must be: one where it is whole; or
// all of the shards, and the last of the places where it has a manifest.
func (m *marking) needs(row int) int {
	inv := m.inv
	switch {
	case inv.placement == shards.Hashed:
		return 1
	case m.rows[row].Encoding != recovery.Striped && inv.manifests:
		return len(inv.shards) - 1
	}
	return len(inv.shards)
}

// unanswered is what a shard's window did not reach.
type unanswered struct {
	shard *listed
	want  []wanted
}

// list answers from the windows, and moves those that do not reach.
func (m *marking) list(ctx context.Context) error {
	var behind []unanswered
	for i := range m.inv.shards {
		s := &m.inv.shards[i]
		n, err := s.win.merge(s.want, func(w wanted) error { return m.seen(s, w) })
		if err != nil {
			return err
		}
		if n < len(s.want) && s.dir != nil {
			behind = append(behind, unanswered{s, s.want[n:]})
		}
	}
	if len(behind) == 0 {
		return nil
	}
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(m.inv.listers, len(behind)) {
		g.Go(func() error {
			buf := make([]byte, direntBuffer)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(behind) {
					return nil
				}
				if err := m.follow(ctx, behind[i], buf); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// follow moves a shard's window along its wanted rows. Every reading answers for
// at least one of them.
func (m *marking) follow(ctx context.Context, u unanswered, buf []byte) error {
	s := u.shard
	for want := u.want; len(want) > 0; {
		if err := m.inv.read(ctx, s, want[0].id, buf); err != nil {
			return fmt.Errorf("%s: %w", store.Place(s.dir.number), err)
		}
		n, err := s.win.merge(want, func(w wanted) error { return m.seen(s, w) })
		if err != nil {
			return err
		}
		want = want[n:]
	}
	return nil
}

// seen takes a piece that a listing shows.
func (m *marking) seen(s *listed, w wanted) error {
	if s.foreign {
		return m.look(s, w)
	}
	if !m.inv.pending.has(pieceKey{s.dir.number, w.id}) {
		m.found[w.row].Add(1)
	}
	return nil
}

// look asks the file system about one piece; about its size only where the name
// proves nothing, so that the answer is the one that a listing gives.
func (m *marking) look(s *listed, w wanted) error {
	size := int64(recovery.SizeUnknown)
	if s.foreign {
		size = m.inv.pieceSize(store.PieceIn(m.rows[w.row].Blob, s.dir.number, m.inv.placement, m.inv.total))
	}
	ok, err := s.dir.has(m.inv.layout, w.id, size)
	if errors.Is(err, store.ErrIrregular) {
		ok, err = false, nil // Has says so, to whoever tries to store the piece
	}
	if ok && !m.inv.pending.has(pieceKey{s.dir.number, w.id}) {
		m.found[w.row].Add(1)
	}
	return err
}

// lookUp answers by asking about every piece.
func (m *marking) lookUp(ctx context.Context) error {
	const chunk = 256
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(m.inv.listers)
	for i := range m.inv.shards {
		s := &m.inv.shards[i]
		for want := s.want; len(want) > 0 && s.dir != nil; {
			part := want[:min(chunk, len(want))]
			want = want[len(part):]
			g.Go(func() error {
				for _, w := range part {
					if err := errors.Join(ctx.Err(), m.look(s, w)); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// read moves a shard's window to begin at id.
func (inv *Inventory) read(ctx context.Context, s *listed, id recovery.BlobID, buf []byte) error {
	old := s.win.ids
	s.win = window{} // nothing is known if the reading fails
	win, seen, err := s.dir.read(ctx, inv.layout, id, inv.limit, old, buf)
	if err != nil {
		return err
	}
	s.win, s.entries = win, seen
	if inv.layout == store.Fanout {
		s.entries *= 256
	}
	return nil
}

package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

// Listing tells what is in a store.
type Listing interface {
	// Shards returns the shards whose directories are there, rising.
	Shards() ([]uint32, error)
	// HasShard reports whether a directory is there, of store.Manifests too.
	HasShard(shard uint32) (bool, error)
	// List returns the lowest ids of a shard's pieces not below from, rising and at
	// most limit, and up to where that is all there is.
	List(ctx context.Context, shard uint32, from recovery.BlobID, limit int, ids []recovery.BlobID) ([]recovery.BlobID, recovery.Mark, error)
	// Strays calls fn with what is in a shard's directory and no piece.
	Strays(ctx context.Context, shard uint32, fn func(path, kind string) error) error
}

// Bounds of the ids held of all listings together, and the least for one shard.
const (
	listedIDs    = 512 << 10
	leastListing = 256
)

// FindNeedless calls report for everything in the store that the catalog and the
// ownership do not ask for. It deletes nothing, and reads no piece. rows yields all
// certified blobs in rising order. Of a stray Finding only Shard and Err are set.
func FindNeedless(ctx context.Context, cfg Config, from Listing, rows iter.Seq2[recovery.Row, error], report func(Finding) error) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	numbers, err := placesIn(cfg, from)
	if err != nil {
		return fmt.Errorf("list the store: %w", err)
	}
	for _, shard := range numbers {
		err := from.Strays(ctx, shard, func(path, kind string) error {
			f := about(Stray, shard)
			f.Err = fmt.Sprintf("%s is a %s", path, kind)
			return report(f)
		})
		if err != nil {
			return err
		}
	}
	s := sieve{cfg: cfg, from: from, lists: make([]list, len(numbers))}
	for i, shard := range numbers {
		s.lists[i].shard = shard
	}
	next, stop := iter.Pull2(rows)
	defer stop()
	s.next = next
	return s.run(ctx, report)
}

// placesIn lists the directories of a store that hold pieces or manifests, rising.
func placesIn(cfg Config, from Listing) ([]uint32, error) {
	numbers, err := from.Shards()
	if err != nil || cfg.Placement != shards.Striped {
		return numbers, err
	}
	there, err := from.HasShard(store.Manifests)
	if there {
		numbers = append(numbers, store.Manifests)
	}
	return numbers, err
}

// sieve holds the listings of all shards against the catalog, one stretch of ids
// after the other.
type sieve struct {
	cfg   Config
	from  Listing
	lists []list
	next  func() (recovery.Row, error, bool)
	row   recovery.Row // the first one not below what was asked about
	rows  uint8        // rowNone, rowThere or rowEnd
}

const (
	rowNone uint8 = iota
	rowThere
	rowEnd
)

// list is a stretch of one shard's listing.
type list struct {
	shard uint32
	ids   []recovery.BlobID
	to    recovery.Mark // ids below it are all there are
}

// stored is one piece that is there.
type stored struct {
	id    recovery.BlobID
	shard uint32
}

func (s *sieve) run(ctx context.Context, report func(Finding) error) error {
	limit := max(leastListing, listedIDs/max(1, len(s.lists)))
	var batch []stored
	for from := (recovery.BlobID{}); ; {
		to := recovery.MarkEnd()
		for i := range s.lists {
			l := &s.lists[i]
			var err error
			if l.ids, l.to, err = s.from.List(ctx, l.shard, from, limit, l.ids); err != nil {
				return err
			}
			if l.to.Compare(to) < 0 {
				to = l.to
			}
		}
		batch = batch[:0]
		for _, l := range s.lists {
			for _, id := range l.ids {
				if recovery.MarkAt(id).Compare(to) < 0 {
					batch = append(batch, stored{id, l.shard})
				}
			}
		}
		slices.SortFunc(batch, func(a, b stored) int { return bytes.Compare(a.id[:], b.id[:]) })
		for _, piece := range batch {
			kind, err := s.judge(piece)
			if err == nil && kind != "" {
				f := about(kind, piece.shard)
				f.ID = piece.id
				err = report(f)
			}
			if err != nil {
				return err
			}
		}
		next, more := to.ID()
		if !more {
			return nil
		}
		from = next
	}
}

// judge says why a piece need not be stored; empty: it should be. Pieces come in
// rising order.
func (s *sieve) judge(p stored) (Kind, error) {
	switch {
	case p.shard == store.Manifests:
	case !s.cfg.Owned.Contains(p.shard):
		return NotOwned, nil
	case !slices.Contains(s.cfg.Placement.Holders(nil, p.id, s.cfg.TotalShards, s.cfg.Owned), p.shard):
		return Misplaced, nil
	}
	for s.rows != rowEnd && (s.rows == rowNone || s.row.ID.Compare(p.id) < 0) {
		row, err, ok := s.next()
		switch {
		case err != nil:
			return "", fmt.Errorf("read the catalog: %w", err)
		case !ok:
			s.rows = rowEnd
		default:
			s.row, s.rows = row, rowThere
		}
	}
	if s.rows == rowThere && s.row.ID == p.id && s.row.EndEpoch > s.cfg.Epoch {
		return "", nil
	}
	return NotCertified, nil
}

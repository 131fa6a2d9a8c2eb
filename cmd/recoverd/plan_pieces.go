package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/store"
	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

// fetchTally counts what a run fetches. Of a striped blob that is the manifest and the
// owned pieces, as far as they are missing.
type fetchTally struct {
	tally
	// Most are the bytes where a missing piece is nobody's and others rebuild it, and,
	// without a known code, where a blob is kept in as few pieces as can be. Equal to
	// Bytes where nothing is striped.
	Most      uint64 `json:"most_bytes"`
	Pieces    uint64 `json:"pieces"`
	Manifests uint64 `json:"manifests"`
	// Codes are how many pieces rebuild a blob, least and most, by manifests in the
	// store; null where there is none, or nothing to fetch is striped.
	Codes *codeRange `json:"rebuilt_from"`
}

type codeRange struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

func (r codeRange) String() string {
	if r.Least == r.Most {
		return fmt.Sprint(r.Least)
	}
	return fmt.Sprintf("%d to %d", r.Least, r.Most)
}

func (t *fetchTally) addWhole(bytes int64) {
	t.add(bytes)
	t.Most += uint64(max(bytes, 0))
}

func (t fetchTally) String() string {
	if t.Pieces+t.Manifests == 0 {
		return t.tally.String()
	}
	text := fmt.Sprintf("%s: %s and %s", plural(t.Blobs, "blob"), plural(t.Pieces, "piece"), plural(t.Manifests, "manifest"))
	if t.Codes == nil {
		return text + fmt.Sprintf(" (%s to %s: no manifest is here that says how many pieces rebuild a blob)", size(t.Bytes), size(t.Most))
	}
	return text + fmt.Sprintf(" (%s; up to %s where nobody has a piece and %s others rebuild it)", size(t.Bytes), size(t.Most), t.Codes)
}

// pieceLook finds out which owned pieces of a striped blob are missing.
type pieceLook struct {
	reader *storefs.Reader      // nil: there is no store yet
	shards []*storefs.Inventory // one for each owned shard; none without a store
	owned  int
	total  int
	codes  *codeRange // of the manifests that were found
	looks  int        // for the first of them
}

// listingMemory bounds what all the inventories of a pieceLook remember, in bytes.
const listingMemory = 64 << 20

func newPieceLook(reader *storefs.Reader, network string, own shards.Ownership) (*pieceLook, error) {
	l := &pieceLook{reader: reader, owned: own.Owned.Len(), total: int(own.TotalShards)}
	if reader == nil || l.owned == 0 {
		return l, nil
	}
	sizes := &erasure.Sizes{Local: reader}
	cfg := storefs.Config{ListingMemory: listingMemory / l.owned, PieceSize: func(p syncer.Piece) int64 {
		p.Blob.Encoding = recovery.Striped // which mark took away
		return sizes.Of(p)
	}}
	for shard := range own.Owned.All() {
		inventory, err := reader.Inventory(cfg, recovery.StoreRequest{
			Network: network, TotalShards: own.TotalShards, Placement: shards.Striped, Owned: shards.SetOf(shard),
		})
		if err != nil {
			return nil, fmt.Errorf("look into the store: %w", err)
		}
		l.shards = append(l.shards, inventory)
	}
	return l, nil
}

// missing counts the owned pieces that each of the rows lacks.
func (l *pieceLook) missing(ctx context.Context, rows []recovery.Row) ([]int, error) {
	lacks := make([]int, len(rows))
	for i := range lacks {
		lacks[i] = l.owned
	}
	asked := make([]recovery.Row, len(rows))
	for _, inventory := range l.shards {
		copy(asked, rows)
		for i := range asked {
			asked[i].Encoding = recovery.Raw // whose manifest is not asked for
		}
		if err := inventory.Mark(ctx, asked); err != nil {
			return nil, fmt.Errorf("look into the store: %w", err)
		}
		for i := range asked {
			if asked[i].Stored {
				lacks[i]--
			}
		}
	}
	return lacks, nil
}

// manifest reads a blob's manifest in the store; nil if it is not there, or not right:
// a run fetches it then.
func (l *pieceLook) manifest(id recovery.BlobID) (*erasure.Manifest, error) {
	if l.reader == nil {
		return nil, nil
	}
	f, _, err := l.reader.Open(store.Manifests, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, erasure.MaxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read a manifest: %w", err)
	}
	m, err := erasure.Decode(data)
	if err != nil || erasure.IDOf(data) != id {
		return nil, nil
	}
	l.learn(m.K)
	return m, nil
}

// sample looks for the first manifest, also of blobs that are not looked at again.
func (l *pieceLook) sample(row *recovery.Row) error {
	if l == nil || l.codes != nil || l.looks == planRows || row.Encoding != recovery.Striped {
		return nil
	}
	l.looks++
	_, err := l.manifest(row.ID)
	return err
}

func (l *pieceLook) learn(k int) {
	if l.codes == nil {
		l.codes = &codeRange{k, k}
	}
	l.codes.Least, l.codes.Most = min(l.codes.Least, k), max(l.codes.Most, k)
}

// add counts what is to be fetched of a blob that lacks some pieces, or all of it that is
// to be replaced. What a manifest that is not here would say is taken from those that
// are, or else is bounded by what can be: a blob is rebuilt from 1 to all of its pieces.
func (l *pieceLook) add(t *fetchTally, row *recovery.Row, lacks int, replace bool) error {
	whole := max(row.Size, 0)
	if row.Encoding != recovery.Striped { // each shard has all of it
		t.addWhole(int64(lacks) * whole)
		return nil
	}
	m, err := l.manifest(row.ID)
	if err != nil {
		return err
	}
	codes := codeRange{1, l.total}
	switch {
	case m != nil:
		codes = codeRange{m.K, m.K}
	case l.codes != nil:
		codes = *l.codes
	}
	least, most := int64(0), int64(0)
	if m == nil || replace {
		least, most = erasure.ManifestSize(l.total), erasure.ManifestSize(l.total)
		t.Manifests++
	}
	t.Pieces += uint64(lacks)
	least += int64(lacks) * erasure.Code{K: codes.Most}.PieceSize(whole)
	rebuilt := int64(0)
	for _, k := range []int{codes.Least, codes.Most} {
		if lacks > 0 { // all but one come whole, and then k others in place of that one
			rebuilt = max(rebuilt, int64(lacks-1+k)*erasure.Code{K: k}.PieceSize(whole))
		}
	}
	t.add(least)
	t.Most += uint64(most + rebuilt)
	return nil
}

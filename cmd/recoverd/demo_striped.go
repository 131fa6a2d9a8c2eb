package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/shards"
)

// The striped show: any 10 of 14 pieces; shards 0 to 3 have lost their holders.
const (
	demoPieces      = 10
	demoStriped     = 14
	demoDead        = demoStriped - demoPieces
	demoStripedGen  = 1_200
	demoShardsAPeer = 2
)

func stripedScene() demoScene {
	return demoScene{
		code: demoPieces, shards: demoStriped, owned: shards.Range(0, demoDead-1), sources: "runtime", generated: demoStripedGen,
		members: stripedMembers, template: "/{shard}/{id}", args: []string{"--placement", "striped"},
		about: "the holders of shards 0-3 are dead; the node takes these over, and any 10 of the other pieces rebuild them",
		// A group holds pieces and manifests.
		allowed: demoConcurrency + demoGroup/(demoDead+1), conclude: (*demo).concludeStriped,
	}
}

// stripedMembers are the holders of the shards that are left, two each, and one peer
// that claims to have all of these and lies about some blobs.
func stripedMembers(f *demoFleet, blobs http.Handler) (all []demoMember) {
	for first := demoDead; first < demoStriped; first += demoShardsAPeer {
		held := shards.Range(uint32(first), uint32(first+demoShardsAPeer-1))
		all = append(all, demoMember{strconv.Itoa(len(all) + 1), fmt.Sprintf("holds shards %s", held), onlyShards(held, f.counting(blobs))})
	}
	left := shards.Range(demoDead, demoStriped-1)
	return append(all, demoMember{strconv.Itoa(len(all) + 1), fmt.Sprintf("a mirror of %s that lies about one blob in eight", left), onlyShards(left, f.lying(blobs))})
}

// onlyShards answers for the manifests and for some shards.
func onlyShards(held shards.Set, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		n, err := strconv.ParseUint(name, 10, 32)
		if name != "manifest" && (err != nil || !held.Contains(uint32(n))) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// concludeStriped compares every piece with what the lost holders had, with nothing but
// the file system, and every manifest with its name.
func (d *demo) concludeStriped(ctx context.Context) error {
	source, err := catalog.NewFile(catalog.FileConfig{Path: d.path("catalog.rsnap")})
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Pin(ctx); err != nil {
		return err
	}
	blobs, pieces, size := 0, 0, int64(0)
	for row, err := range catalog.Rows(ctx, source, recovery.Mark{}) {
		if err != nil {
			return err
		}
		manifest, err := os.ReadFile(d.piecePath("node", "manifest", row.ID))
		if err != nil {
			return fmt.Errorf("verification: %w", err)
		}
		if sum := sha256.Sum256(manifest); hex.EncodeToString(sum[:]) != row.ID.String() {
			return fmt.Errorf("verification: the manifest of blob %s has wrong bytes", row.ID)
		}
		for shard := range d.scene.owned.All() {
			n, err := d.comparePiece(strconv.Itoa(int(shard)), row.ID)
			if err != nil {
				return fmt.Errorf("verification: %w", err)
			}
			pieces, size = pieces+1, size+n
		}
		blobs++
	}
	redone := d.fleet.redone()
	d.say("every piece is what its dead holder had, byte for byte; every manifest has its name")
	fmt.Fprintf(d.out, "\n  blobs            %s\n  pieces verified  %s (%s), each rebuilt from exactly %d others\n  redone           %d blobs after the kill (allowed: %d in flight + %d in a barrier group)\n  lies caught      %d told by one peer, 0 in the store\n",
		humanize.Comma(int64(blobs)), humanize.Comma(int64(pieces)), humanize.IBytes(uint64(size)), demoPieces,
		redone, demoConcurrency, d.scene.allowed-demoConcurrency, d.fleet.lies())
	if redone > d.scene.allowed {
		return fmt.Errorf("%d blobs were fetched again, at most %d are allowed", redone, d.scene.allowed)
	}
	return nil
}

// piecePath is where a piece lies in a store, in either layout.
func (d *demo) piecePath(store, dir string, id recovery.BlobID) string {
	flat := filepath.Join(d.path(store), dir, id.String())
	if _, err := os.Lstat(flat); err != nil {
		return filepath.Join(d.path(store), dir, id.String()[:2], id.String())
	}
	return flat
}

func (d *demo) comparePiece(dir string, id recovery.BlobID) (int64, error) {
	got, err := os.ReadFile(d.piecePath("node", dir, id))
	if err != nil {
		return 0, err
	}
	want, err := os.ReadFile(d.piecePath("source", dir, id))
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(got, want) {
		return 0, fmt.Errorf("the piece of blob %s in shard %s has wrong bytes", id, dir)
	}
	return int64(len(got)), nil
}

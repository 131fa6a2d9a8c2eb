package store

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// Manifests stands in for a shard's number where a directory is meant: the one beside
// the shards that holds the manifests of striped blobs. It has a marker like theirs,
// and losing it counts as losing one of them.
const Manifests = math.MaxUint32

// ManifestDir is its name below the root.
const ManifestDir = "manifest"

// DirName is the name of a shard's directory, or of that of the Manifests.
func DirName(shard uint32) string {
	if shard == Manifests {
		return ManifestDir
	}
	return strconv.FormatUint(uint64(shard), 10)
}

// Place names a directory for people.
func Place(shard uint32) string {
	if shard == Manifests {
		return "the directory of the manifests"
	}
	return "shard " + DirName(shard)
}

// PlaceOf is the directory that a piece lies in: its shard, or Manifests.
func PlaceOf(p syncer.Piece) uint32 {
	if p.Manifest {
		return Manifests
	}
	return p.Shard
}

// PieceIn is the piece of a blob that lies in a directory.
func PieceIn(b recovery.Blob, place uint32, placement shards.Placement, total uint32) syncer.Piece {
	if place == Manifests {
		return syncer.Piece{Blob: b, Manifest: true}
	}
	return syncer.Piece{Blob: b, Shard: place, Index: placement.PieceOf(b.ID, place, total)}
}

// Places yields the directories that a store needs for an ownership: the owned
// shards by number, and then, where some are owned of striped blobs, Manifests.
func Places(placement shards.Placement, owned shards.Set) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for shard := range owned.All() {
			if !yield(shard) {
				return
			}
		}
		if placement == shards.Striped && owned.Len() > 0 {
			yield(Manifests)
		}
	}
}

// placesText names some directories, which rise.
func placesText(places []uint32) string {
	var parts []string
	numbers := places
	if last := len(places) - 1; places[last] == Manifests {
		numbers = places[:last]
	}
	if len(numbers) > 0 {
		parts = append(parts, fmt.Sprintf("shard %s", shards.SetOf(numbers...)))
	}
	if len(numbers) < len(places) {
		parts = append(parts, Place(Manifests))
	}
	return strings.Join(parts, " and ")
}

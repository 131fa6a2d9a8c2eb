package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// identity names a root and the markers of the owned shards: the hex SHA-256 of
// the root's id and of each (shard, id) in rising order. It changes when any of
// them was swapped, wiped, gained or lost.
func identity(root MarkerID, owned []PlannedShard) string {
	h := sha256.New()
	h.Write([]byte("recoverd store\n"))
	h.Write(root[:])
	for _, s := range owned {
		var number [4]byte
		binary.BigEndian.PutUint32(number[:], s.Marker.Shard)
		h.Write(number[:])
		h.Write(s.Marker.ID[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

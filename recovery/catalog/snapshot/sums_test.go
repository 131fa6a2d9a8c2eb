package snapshot

import (
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func fileSum(b []byte) uint64 { return xxhash.Sum64(b) }

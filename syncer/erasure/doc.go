// Package erasure keeps a blob as n pieces, any k of which rebuild it.
//
// # The code
//
// A blob of size bytes is cut into k data pieces of ceil(size/k) bytes, one after
// the other; the last ones are filled up with zeros. From these come n-k parity
// pieces of the same length: Reed-Solomon over bytes (GF(2^8), the default matrix
// of klauspost/reedsolomon), at most 256 pieces in all. So the data pieces, put
// together and cut to size, are the blob, and every piece may be computed stripe by
// stripe in bounded memory, however large it is.
//
// # The manifest
//
// The id of a striped blob is the SHA-256 of its manifest, which holds size, k, n,
// the blob's digest and the digest of every piece. So whoever has the id can judge
// the manifest, and with it each piece, whoever it came from. That is needed: the
// code itself cannot tell wrong from right (hazard 68), least of all with just k
// pieces at hand.
//
//	offset  bytes  what
//	0       8      magic "rstripe\n"
//	8       2      version, 1
//	10      2      k
//	12      2      n
//	14      8      size of the blob
//	22      8      size of a piece: ceil(size/k)
//	30      32     SHA-256 of the blob
//	62      32 n   SHA-256 of each piece
//
// Numbers are unsigned and big-endian. A manifest has one form only, and its bytes
// never change once a version is released.
//
// # Getting pieces
//
// A Fetcher gets what a store lacks: whole from whoever has it, or else rebuilt from
// any k others, which are read at the same time and judged one by one. All missing
// pieces of a blob come out of one such gathering.
package erasure

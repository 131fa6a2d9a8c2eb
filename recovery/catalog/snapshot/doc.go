// Package snapshot writes and reads the catalog's native file: the four tables
// of a network's state at one position, each in rising key order, in checksummed
// blocks with an index. FORMAT.md in this directory is the specification.
//
// The same state gives the same bytes, on every node and in every run. A file
// is a catalog as it lies there: a Reader opens it by its two ends, seeks by
// blob id, and yields the certified blobs in id order with a few blocks of
// memory, whatever the size of the file. A Writer streams in one pass and is a
// sink: Close commits, Abort cancels.
//
// What a reader accepts it has checked: every block that is read is proven by
// its checksum, its order and its count. Verify proves the rest: every bit of
// the file, and the digest.
//
// # Reading the source
//
// table.go holds the rows, rowcodec.go their bytes (with keycodec.go and
// fields.go below it); digest.go names a state; header.go, block.go, index.go
// and trailer.go are the file from front to back; writer.go and commit.go make
// one, reader.go and cursor.go read one; merge.go turns tables into certified
// blobs and scan.go does that for a file; verify.go proves one. synth.go and
// build.go make whole catalogs.
package snapshot

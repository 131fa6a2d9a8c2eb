// Package snapshot writes and reads the catalog's native files: the four tables
// of a network's state at one position, each in rising key order, in checksummed
// blocks with an index. FORMAT.md in this directory is the specification.
//
// The same state gives the same bytes, on every node and in every run. A file
// is a catalog as it lies there: a Reader opens it by its two ends, seeks by
// blob id, and yields the certified blobs in id order with a few blocks of
// memory, whatever the size of the file. A Writer streams in one pass and is a
// sink: Close commits, Abort cancels.
//
// An incremental snapshot holds how a state differs from a full one. Over lays
// it over its base: an Overlay is a State like any other, to be scanned in
// place, looked up, compared (Diff), or written (Write, WriteIncremental).
//
// What a reader accepts it has checked: every block that is read is proven by
// its checksum, its order and its count. Verify proves the rest: every bit of
// the files, and the digest.
//
// # Reading the source
//
// table.go holds the rows, row.go and rowcodec.go their bytes (with keycodec.go
// and fields.go below them); digest.go names a state; header.go, block.go,
// index.go and trailer.go are a file from front to back, chunk.go and set.go
// make a snapshot of several. writer.go takes rows, part.go and commit.go put
// them into files, publish.go ends it; source.go is one file to read, reader.go
// and cursor.go its tables. state.go says what a state is, overlay.go lays one
// snapshot over another, lookup.go and diff.go look into states, write.go copies
// them; merge.go turns tables into certified blobs and scan.go does that from any
// place; verify.go proves a snapshot. synth.go and build.go make whole catalogs,
// bench.go measures.
package snapshot

// Package boltdb keeps a whole state of the catalog in one bbolt file: for
// stores that want point look-ups in a B+ tree that other tools read too.
//
// # The file
//
// One bucket for each table of snapshot, named as the table is: a row's key is
// the table's, its value a checksum and what snapshot.AppendValue makes of the
// row. A bucket "meta" holds one value, "state": which state it is, what it
// comes to and the last key of each table, as JSON behind a checksum. It is
// written last.
//
// bbolt's data pages have no checksum, and a damaged page makes it panic, fault
// or run for ever, or shows fewer rows. So a row's checksum, a CRC32C, covers
// the table, the key of the row before, the row's own key and its values: a row
// that is read proves itself and that nothing is missing between it and the row
// before, which is what a page and an absence have to prove (I8). And bbolt is not
// what reads the file here: page.go and tree.go do, with ReadAt and within bounds.
//
// Nor does bbolt write it. Its transactions write the way to the root again each
// time; builder.go writes every page once, from front to back, without a free one:
// 8.7 times as fast as transactions of 1,000 rows, with flush and proof 2.6 times.
// The same state gives the same bytes.
//
// # Restore
//
// A file is never changed. Restore builds another one beside it, proves it, and
// renames it, which switches data and position together: killed at any moment
// the old file serves, and the next Restore begins again. Open follows the name
// as catalog.File does.
//
// # Reading the source
//
// layout.go is what the file holds; restore.go makes one with lock.go, load.go,
// builder.go and draft.go; page.go, tree.go and cursor.go read one, reader.go is
// one that is open, open.go a catalog.
package boltdb

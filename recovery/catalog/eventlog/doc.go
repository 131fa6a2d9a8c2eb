// Package eventlog is the catalog that a node follows: a snapshot, the events
// after it, and what they changed, in one directory.
//
//	lock        held by the process that uses the directory
//	log.db      bbolt: the position, the events behind the oldest snapshot kept,
//	            and the delta: rows that they changed in the base
//	full-*.rsnap, incr-*.rsnap  the archive; the newest full one is the base
//
// The state is the base with the delta over it, merged while it is read. A batch
// of events is appended, applied and counted in one transaction, which is the
// only way in which the position moves (hazards 13, 59). Reading takes short read
// transactions and answers from the present state, which may be newer than the
// pinned one.
//
// What has ended is not removed when its epoch begins but passed over: an epoch
// that ends ten million registrations costs one pass through the state, and no
// writing. The canonical state, which snapshots hold, has it dropped; the next
// full one leaves it behind.
//
// # Reading the source
//
// catalog.go holds the Catalog, its opening and closing; config.go and errors.go
// what goes in and out. meta.go, record.go and database.go are what lies in
// log.db, pages.go and examine.go prove it before bbolt may touch it. apply.go
// appends events, over tables.go; base.go, view.go and delta.go read the state;
// source.go and since.go are the catalog.Source. freeze.go and filter.go make a
// state that stands still, keeper.go makes snapshots of it when cadence.go says
// so. follow.go is the loop, board.go what is known of it; restore.go fills a
// directory or brings it to a position, over rebuild.go, which makes a log anew;
// log.go reads one that nobody follows with.
package eventlog

// Package postgres keeps a whole state of the catalog in a Postgres database:
// for nodes that have one anyway, and for operators who want to ask it questions.
// It is the only package that knows the driver.
//
// # What lies in the schema
//
// A table "generations", and for each generation four tables with the columns of
// snapshot's rows: blobs_7, registrations_7, pooled_7, pools_7. One generation is
// current; its row says network, epoch, position, digest and totals:
//
//	SELECT generation, network, epoch, position FROM recoverd.generations WHERE status = 'current';
//
// NULL stands for what most rows have not: an unknown size, a digest other than
// the id (an empty one is unknown), an end epoch, a certification, a position
// that invalidated or gained.
//
// The tables of a generation never change. A restore fills new ones and makes
// them current by changing two rows of "generations", in one transaction: so
// readers of the old state go on, nothing is ever truncated, no lock is waited
// for, and a state is wholly the old one or wholly the new one at any moment.
// Switching schemas by renaming them would take the tables away from a pass that
// reads them; emptying tables in place, from everybody. What it costs is room for
// the old state and the new one, and for the spool of the new one while it is
// loaded.
//
// Whatever this package makes bears a mark, a comment, and only what has both a
// name of the allow-list and the mark is dropped, by name and without CASCADE.
//
// # Three phases
//
// Prepare takes an advisory lock, removes what killed restores left, and begins a
// generation as "loading". Load sends the rows, as binary COPY over two
// connections, into unlogged spools: tables whose rows are runs of tuples as COPY
// takes them. That writes no WAL, and costs little more than the bytes. Make
// durable copies the runs into tables that were made logged, adds the primary
// keys, and reads everything back before anything is committed.
//
// Unlogged tables of the final form and SET LOGGED were measured as well: they
// came to 1.00 of the WAL that COPY into logged, indexed tables writes, because
// SET LOGGED logs row by row where COPY logs page by page; this way came to 0.74.
// It also means that no table is ever in danger of being left unlogged, and that
// no order of foreign keys matters (hazard 61). Where the server's wal_level is
// minimal, neither is needed: COPY in the transaction that made the table writes
// no WAL.
//
// # Reading the source
//
// layout.go names and describes the tables; tuple.go and copy.go are rows as bytes
// and COPY's data; connect.go opens sessions. restore.go is the three phases, with
// prepare.go, drop.go, job.go, load.go and switch.go; describe.go reads the list of
// generations. catalog.go is the source, with hold.go, page.go, keyset.go and
// state.go.
package postgres

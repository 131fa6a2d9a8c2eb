// Package checkpoint keeps recovery.Record durable: how far a node's recovery
// got, and what is unsettled. It is what makes a crash cost only the work that
// was in flight (DESIGN 7).
//
// # State directory
//
//	lock                     flocked before anything else here is read or made; never renamed or removed
//	checkpoint.db            bbolt, one bucket "checkpoint" with two keys, "head" and "list"
//	progress-a, progress-b   the mirror: odd and even sequence numbers alternate
//	checkpoint.db.new        a database under construction; removed at start
//	checkpoint.db.corrupt-*  damaged databases, set aside for a human
//
// Whoever holds the lock may keep other files there.
//
// Directories are made with mode 0700, files with 0600. Existing modes are left
// alone.
//
// # Copies
//
// A record is written with a sequence number, which rises with every write, and
// the highest run number ever recorded. Copies are ordered by run, then by
// sequence. What claims more (Save) goes to the database first, then to one slot
// of the mirror. What claims less (Reset) goes to both slots of the mirror, then
// to the database in two transactions, so that nothing readable names what it
// takes back (hazard 86). Open reads all copies, takes the highest, and brings
// the others up to it when they differ.
//
// A record is written in two values. The head holds everything but the unsettled
// list; it names the list's length and SHA-256, so that an empty list and a lost
// one are never confused (I4). A slot of the mirror has room for 256 KiB; when
// the list does not fit it is omitted, and the head says how long it was. A copy
// without its list is used only where no whole copy of its run is readable, and
// then covered is dropped, the scan goes back to the cursor, and LoadReport
// says so.
//
// # Damage
//
// bbolt trusts its pages, so a damaged file can panic the process or fault it.
// Open therefore reads the database with pread and its own bounds first (see
// scanPages). Only a file in which every page is accounted for is handed to
// bbolt; any other is renamed. Errors of the operating system are not damage:
// they are returned, and nothing older is used in their place (hazard 43).
//
// # Failure
//
// After a write that failed, whether it is durable is not known, also not by
// trying again (hazard 45). The Store then refuses everything with ErrFailed;
// only a new process, which reads what is really there, goes on (I12).
//
// # Reading the source
//
// keeper.go is the door for a machine's host; store.go has the order of writes;
// survey.go the choice between copies; pages.go the check of the database;
// head.go and entries.go the format.
package checkpoint

// Package fs keeps pieces as plain files, so that a node, a web server or a
// shell can read them.
//
// # On disk
//
//	<root>/.recoverd            the root's marker (package store)
//	<root>/.recoverd.lock       flocked while a Store is open; never removed
//	<root>/<shard>/.recoverd    the shard's marker
//	<root>/<shard>/.tmp/<hex>   a piece under way, where it needs a name (nameless.go); apart, so that leftovers are found quickly
//	<root>/<shard>/<id>         a piece, flat layout
//	<root>/<shard>/<aa>/<id>    a piece, fanout layout; aa are the id's first two digits
//	<root>/manifest/...         the manifests of striped blobs, kept like a shard's pieces
//
// Ids are 64 lower-case hex digits; every other name is passed over. A shard's
// directory may be a mount of its own, never a symbolic link.
//
// # Rules
//
//   - A piece gets its final name only after a flush made its bytes durable, and
//     counts as stored only after another made the name durable (I5). Until then
//     Has and Mark say "not stored", although the name can be seen.
//   - Every file is reached through an os.Root, or by a single name in a directory
//     that was; nothing but regular files is opened, and no symbolic link is followed
//     below the root.
//   - A stored piece is never deleted. Temporary files of an earlier process are
//     removed when their shard is first prepared, under the root's lock.
//   - What an earlier process wrote and did not flush is in the page cache only:
//     the first preparation flushes each volume before anything is listed
//     (hazard 77).
//   - Groups are made durable by syncfs or by fdatasync (chooser.go). Each covers what
//     no flush covered before, so they may alternate.
//
// The package needs Linux. It keeps up to three descriptors open for each owned shard,
// and one for each piece under way, as long as these are fewer than half of what the
// process may have.
package fs

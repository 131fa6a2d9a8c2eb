// Package bench measures recoverd beside the programs that people copy files with:
// rclone, aria2c and curl, and beside two plain Go programs that show what the
// machine allows. `make bench-peers` runs it, and writes PEERS.md here.
//
// One nginx on loopback serves the same blobs to all of them, and all write the same
// tree, <shard>/<id>, into a fresh place: as root an ext4 made anew for each run, with
// a journal and without; otherwise a new directory. Within a round they take turns,
// and what is compared is compared round by round. Nothing is deleted in between:
// creating files after a mass delete costs ext4 a multiple.
//
// It holds tests alone, and no other package imports it.
package bench

// Package store holds what every place for pieces agrees on, whatever keeps
// the bytes: how they are laid out, the markers that bind saved progress to a
// store, and the rules for opening one. The adapters fs and mem look, ask Decide
// what to do, and do it; so the rules stand once and are tested without a disk.
//
// # Markers
//
// The root and every shard directory hold a dot-file, MarkerName, with a random
// id. Progress is saved together with an identity derived from those ids (I6):
//
//   - The root's marker is gone while progress claims work: the disk is not
//     mounted, or it is a new one. Nothing is made there; the daemon waits until
//     somebody mounts the disk or accepts the empty store on purpose (hazard 82).
//   - A shard's marker is gone: the shard came back wiped. It gets a new marker,
//     so the identity differs and the progress is discarded (hazard 5).
//   - A shard's directory is gone: the daemon waits for it (hazard 36).
//   - A marker names another network, total, placement or layout: only a human
//     can tell what is meant; the error wraps recovery.ErrMisconfigured.
//
// # Foreign files
//
// A final name that recoverd wrote proves its content (I5). Files that were
// there before the marker were written by somebody else: their names prove
// nothing, so type and exact size are looked at, and reports say Foreign until
// the bytes have been verified.
package store

// Package provider holds what every source of ownership has in common: the
// document they all read (ParseDocument) and the ledger that tells one reader
// about each change once (Ledger). The sources themselves are the packages below
// it; package shardstest holds the contract they keep.
//
// A source reports the newest state, not every state: versions that were
// replaced before they were read are never seen. A node that loses a shard and
// gets it back between two looks must change its continuity (hazard 5).
package provider

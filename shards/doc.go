// Package shards holds the words for who must store what: sets of shards,
// the ownership a node has in an epoch, and the placement that says which
// shard holds which piece of a blob. It is pure; providers that read an
// ownership document from somewhere live in shards/provider.
package shards

// Package archive keeps a directory of catalog snapshots.
package archive

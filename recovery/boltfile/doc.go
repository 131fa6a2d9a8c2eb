// Package boltfile opens bbolt files without trusting them. bbolt's data pages have no
// checksum, and a damaged file makes it loop, panic, fault or answer with older data
// (DESIGN 7). So whoever keeps something in one proves its pages first (Walk), opens
// only what passed (Open), and runs every use of it in Guard, for the file may become
// unreadable under it.
//
// Checksums of the values are their owner's: pages that are sound may hold anything.
package boltfile

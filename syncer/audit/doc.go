// Package audit proves what a store holds, by reading it: every piece that should
// be there is read whole and hashed, whatever its name promises. It shares nothing
// with the code that settles blobs (DESIGN 3), so that a mistake there is found
// here: it knows the catalog's rows, the placement, how a manifest is written down, and
// how a file is opened.
//
// What it finds is what was there when it looked. A daemon may be at work meanwhile:
// a piece that looks bad is looked at twice, so that one that was just being replaced
// is not called rotten.
package audit

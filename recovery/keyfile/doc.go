// Package keyfile reads certificates, keys and tokens from files that are replaced
// while the program runs: by whoever renews certificates, or by a kubelet.
//
// Files are looked at when they are needed, and read again when they are others.
// Ones that cannot be used leave in force what they said when they were last good,
// and that is told once. Nothing here holds a goroutine, and no message quotes what
// is in a file.
package keyfile

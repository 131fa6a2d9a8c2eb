// Package crashstate lays out what a power cut may leave of what real code did to a
// disk, and lets the real code open it. It is used by tests alone.
//
// A History is what a process, or several one after the other, asked of the file
// system, in order: recorded by strace from the calls of a real process (Record), or
// written down by whatever stands between code and file system. Notes in it say what
// the process had begun and what it had acknowledged.
//
// # The disk
//
// At every moment of a history the disk holds what was flushed, and any part of the
// rest. What was flushed is
//
//   - of a file, what was written or cut before an fsync or fdatasync of it began,
//     once that has ended;
//   - of a directory, the names given and taken before an fsync of it began. That a
//     file was flushed says nothing about its name;
//   - everything, before a syncfs began.
//
// Of the rest each operation may be lost, whatever came before or after it:
//
//   - a write is there, or not, or its first or its last bytes only, or the file has
//     grown and holds zeros;
//   - a name that was given or taken is there or not. A rename is one operation, but
//     where it leads to another directory the old name may stay beside the new one.
//
// A file made without a name (O_TMPFILE) is found after a power cut if a link of it is
// there. The link is a name like any other: it waits for a flush of its directory, and
// says nothing about the file's bytes.
//
// Journalling file systems promise more than this, most of the time: what holds here
// holds on all of them.
//
// Where the states of a moment are few all of them are tried, else a seeded sample
// that begins with the likely corners: all, nothing, names without bytes, and each
// operation alone or alone missing.
package crashstate

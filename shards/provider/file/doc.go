// Package file reads ownership from a file and follows its changes.
//
// It watches the file's directory, so that it sees a file renamed over the old
// one, deleted and made again, or swapped behind a link, as Kubernetes does with
// ..data. Whoever writes the file should write another one and rename it: the
// debounce makes it unlikely, not impossible, that a file written in place is read
// half finished.
//
// What cannot be read, or makes no sense, is told once and leaves the ownership
// before it in force.
package file

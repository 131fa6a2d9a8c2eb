// Package event is the catalog's history: what can happen to the certified
// blobs of a network, as numbered events, and what each does to the four tables
// of a state.
//
// Positions begin at 1 and have no gaps, so a state is named by the position of
// the last event in it. Events come as lines of JSON from a Source (a file or a
// directory that grows, a web server that pages) and are kept in a compact binary
// form; both forms are strict, and reading what was written gives the same
// event. Apply is pure: the same events give the same state everywhere, however
// they were cut into batches.
//
// # Reading the source
//
// event.go holds the event and what makes one well-formed; json.go (over
// scan.go) and binary.go are its two forms; apply.go is what events do to the
// Tables of a state, model.go a state in memory that is as simple as can be.
// source.go is the contract of a source, file.go and http.go are two of them.
package event

// Package listing turns lists of blobs into catalogs, and catalogs into lists.
//
// A list is text, one blob a line, in one format from its first line to its last;
// or a Walrus snapshot. Which one is found out from the content, strictly: what
// fits no format, two of them, or another one in the middle is refused, with the
// line. The order of lines never matters: blobs are sorted, and without
// positions of their own all get the same.
//
// A list says what is certified; it is no whole state. Over a base it adds and
// lengthens certifications, and removes nothing. A Walrus snapshot is a whole
// state: over a base it is the next one.
//
// # Reading the source
//
// row.go is a line's content; format.go, json.go and lines.go get it from text;
// sorted.go brings rows into order, rules.go decides what each changes in the
// base, which before.go reads, and state.go is the state that comes of it.
// import.go puts these together; export.go goes the other way.
package listing

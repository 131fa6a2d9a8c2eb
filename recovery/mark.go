package recovery

import "fmt"

// Mark is a place in the id space: before every id (the zero value), at an id,
// or past the last one.
type Mark struct {
	kind markKind
	id   BlobID
}

type markKind uint8

const (
	markNone markKind = iota
	markAt
	markEnd
)

// MarkAt returns the place of id.
func MarkAt(id BlobID) Mark { return Mark{kind: markAt, id: id} }

// MarkEnd returns the place past every id.
func MarkEnd() Mark { return Mark{kind: markEnd} }

// None reports whether m is before every id.
func (m Mark) None() bool { return m.kind == markNone }

// End reports whether m is past every id.
func (m Mark) End() bool { return m.kind == markEnd }

// ID returns the id m is at; ok is false at none and end.
func (m Mark) ID() (id BlobID, ok bool) { return m.id, m.kind == markAt }

// Compare orders none < every id < end.
func (m Mark) Compare(o Mark) int {
	if m.kind != o.kind {
		return int(m.kind) - int(o.kind)
	}
	return m.id.Compare(o.id)
}

// Covers reports whether id <= m.
func (m Mark) Covers(id BlobID) bool { return m.Compare(MarkAt(id)) >= 0 }

// String returns "none", "end" or the id in hex.
func (m Mark) String() string {
	switch m.kind {
	case markNone:
		return "none"
	case markEnd:
		return "end"
	}
	return m.id.String()
}

// MarshalText writes what String returns.
func (m Mark) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (m *Mark) UnmarshalText(text []byte) error {
	switch string(text) {
	case "none":
		*m = Mark{}
		return nil
	case "end":
		*m = MarkEnd()
		return nil
	}
	id, err := ParseBlobID(string(text))
	if err != nil {
		return fmt.Errorf("recovery: mark %.80q is not none, end or a blob id", text)
	}
	*m = MarkAt(id)
	return nil
}

// justBelow returns the highest place that does not reach id.
func justBelow(id BlobID) Mark {
	if prev, ok := id.before(); ok {
		return MarkAt(prev)
	}
	return Mark{}
}

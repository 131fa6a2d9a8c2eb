package walrus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// ErrLayouts: files of different layouts, whose entries stand in different
// orders, are not compared entry by entry.
var ErrLayouts = errors.New("walrus: different layouts")

// Change is an entry that two files do not share: a is nil where only the second
// one has the key, and the other way round. Both are valid until the visit ends.
type Change struct {
	Section Section
	Key     [32]byte
	A, B    *Entry
}

// Diff reads two files of one layout side by side, to their ends, and visits
// every entry that is not in both with the same bytes, in file order. It does
// not compare the headers. That it returns no error proves both files as far as
// their layout allows; changes visited before an error may be damage. An error
// of visit ends it.
func Diff(ctx context.Context, a, b *Reader, visit func(Change) error) error {
	if a.head.Layout != b.head.Layout {
		return fmt.Errorf("%w: %s is of layout %v, %s of layout %v", ErrLayouts, a.Path(), a.head.Layout, b.Path(), b.head.Layout)
	}
	left, err := a.Next()
	if err != nil {
		return err
	}
	right, err := b.Next()
	for looked := 0; err == nil && (left != nil || right != nil); looked++ {
		if looked%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		order := a.head.Layout.compare(left, right)
		c := Change{}
		if order <= 0 {
			c.Section, c.Key, c.A = left.Section, left.Key, left
		}
		if order >= 0 {
			c.Section, c.Key, c.B = right.Section, right.Key, right
		}
		if order != 0 || !bytes.Equal(left.Raw, right.Raw) {
			if err := visit(c); err != nil {
				return err
			}
		}
		if order <= 0 {
			if left, err = a.Next(); err != nil {
				return err
			}
		}
		if order >= 0 {
			right, err = b.Next()
		}
	}
	return err
}

// compare orders entries as they stand in a file; nil comes last.
func (l Layout) compare(a, b *Entry) int {
	switch {
	case a == nil:
		return 1
	case b == nil:
		return -1
	case a.Section != b.Section:
		return l.place(a.Section) - l.place(b.Section)
	}
	return bytes.Compare(a.Key[:], b.Key[:])
}

// place is a section's place in a file.
func (l Layout) place(s Section) int {
	for i, other := range l.order() {
		if other == s {
			return i
		}
	}
	return sectionCount
}

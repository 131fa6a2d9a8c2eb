package walrus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/recoverd/recoverd/recovery/regular"
)

// Reader streams one file. It holds one entry and a small buffer, whatever the
// file claims. One goroutine uses it at a time.
type Reader struct {
	in   *input
	file *os.File // nil if the reader does not own one
	head Header

	at     int    // index of the section under way, in file order; sectionCount: past them
	inside bool   // its tag was read
	left   uint64 // layout B: entries yet to come
	any    bool   // the section has had an entry
	last   [keyLength]byte

	entry  Entry
	raw    [maxValueLength]byte
	counts Counts
	digest uint64
	err    error
	ended  bool
}

// Entry is one entry of a file. Only the value of its own section is set.
type Entry struct {
	Section Section
	Key     [32]byte // of the object, or the pool
	Offset  int64    // of the entry's first byte in the file
	Raw     []byte   // the value's bytes, valid until the next entry
	Object  Object
	Pooled  Pooled
	Pool    Pool
}

// Open opens the file at path. The errors are those of NewReader.
func Open(path string) (*Reader, error) {
	f, _, err := regular.Open(path)
	switch {
	case errors.Is(err, regular.ErrNot):
		return nil, fmt.Errorf("%w: %w", ErrNotWalrus, err)
	case err != nil:
		return nil, fmt.Errorf("open walrus snapshot: %w", err)
	}
	r, err := NewReader(path, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.file = f
	return r, nil
}

// NewReader reads the header from src, which it then reads to its end, and finds
// out which layout it is. path stands for src in errors, which wrap ErrNotWalrus
// or ErrUnsupported, are a *snapshot.CorruptError, or are those of reading.
func NewReader(path string, src io.Reader) (*Reader, error) {
	r := &Reader{in: newInput(path, src)}
	raw, err := r.in.head(headMax)
	if err != nil {
		return nil, err
	}
	head, n, err := detect(path, raw)
	if err != nil {
		return nil, err
	}
	r.head = head
	return r, r.in.take(make([]byte, n), "header")
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Path is what the reader calls its source.
func (r *Reader) Path() string { return r.in.path }

// Header says which state it is.
func (r *Reader) Header() Header { return r.head }

// Size is the number of bytes read so far.
func (r *Reader) Size() int64 { return r.in.offset }

// Counts are the entries read so far.
func (r *Reader) Counts() Counts { return r.counts }

// Digest is what nodes compare, once Next has returned nil without an error: in
// layout B the xxhash64 of the file, in layout A that of all before it, which
// ends the file.
func (r *Reader) Digest() uint64 { return r.digest }

// Next returns the next entry, which the call after it overwrites. After the
// last one, and only when the whole file has been proven as far as its layout
// allows, it returns nil without an error (hazard 10). An error sticks.
func (r *Reader) Next() (*Entry, error) {
	if r.err != nil || r.ended {
		return nil, r.err
	}
	more, err := r.next()
	if err != nil {
		r.err = err
		return nil, err
	}
	if !more {
		r.ended = true
		return nil, nil
	}
	return &r.entry, nil
}

// next reads on to the next entry, over the borders of sections.
func (r *Reader) next() (more bool, err error) {
	for ; r.at < sectionCount; r.at++ {
		if !r.inside {
			if err := r.begin(); err != nil {
				return false, err
			}
		}
		r.entry.Offset = r.in.offset
		if more, err = r.follows(); err != nil {
			return false, err
		}
		if more {
			return true, r.read()
		}
		r.inside = false
	}
	return false, r.finish()
}

// section is the one under way.
func (r *Reader) section() Section { return r.head.Layout.order()[r.at] }

// begin reads a section's tag and, in layout B, its count, which is only
// believed as far as entries follow.
func (r *Reader) begin() error {
	r.in.place = " of the " + r.section().String()
	tag, err := r.in.u8("tag")
	if err != nil {
		return err
	}
	if int(tag) != r.at+1 {
		return r.in.damaged("tag %d where the %v begin with tag %d", tag, r.section(), r.at+1)
	}
	if r.head.Layout == B {
		if r.left, err = r.in.u64("count"); err != nil {
			return err
		}
	}
	r.inside, r.any = true, false
	return nil
}

// follows reports whether the section has another entry, and reads what stands
// before one or ends it.
func (r *Reader) follows() (bool, error) {
	if r.head.Layout == B {
		if r.left == 0 {
			return false, nil
		}
		r.left--
		return true, nil
	}
	mark, err := r.in.u8("list")
	switch {
	case err != nil:
		return false, err
	case mark == 1:
		return true, nil
	case mark != 0:
		return false, r.in.damaged("byte %#02x where an entry (01) or the end (00) of the %v must be", mark, r.section())
	}
	count, err := r.in.u64("count")
	if err == nil && count != r.counts[r.section()] {
		err = r.in.damaged("%d %v are counted, there are %d", count, r.section(), r.counts[r.section()])
	}
	return false, err
}

// read reads an entry's key and value.
func (r *Reader) read() error {
	e := &r.entry
	*e = Entry{Section: r.section(), Offset: e.Offset}
	if err := r.key(); err != nil {
		return err
	}
	n, err := r.length("value")
	if err != nil {
		return err
	}
	if !e.Section.lengthOK(uint64(n)) {
		return r.in.damaged("the value of %x in the %v cannot have %d bytes", e.Key, e.Section, n)
	}
	e.Raw = r.raw[:n]
	if err := r.in.take(e.Raw, "value"); err != nil {
		return err
	}
	if err := e.parse(); err != nil {
		return r.in.damaged("the value of %x in the %v: %v", e.Key, e.Section, err)
	}
	r.counts[e.Section]++
	return nil
}

func (e *Entry) parse() error {
	switch e.Section {
	case Objects:
		return e.Object.parse(e.Raw)
	case PooledObjects:
		return e.Pooled.parse(e.Raw)
	}
	return e.Pool.parse(e.Raw)
}

// key reads an entry's key, which must be above the section's last one
// (hazard 11).
func (r *Reader) key() error {
	e := &r.entry
	n, err := r.length("key")
	if err != nil {
		return err
	}
	if n != keyLength {
		return r.in.damaged("a key of the %v has %d bytes, want %d", e.Section, n, keyLength)
	}
	if err := r.in.take(e.Key[:], "key"); err != nil {
		return err
	}
	if r.any && bytes.Compare(e.Key[:], r.last[:]) <= 0 {
		return r.in.damaged("keys of the %v are not strictly increasing: %x follows %x", e.Section, e.Key, r.last)
	}
	r.last, r.any = e.Key, true
	return nil
}

// length reads a length in the layout's form. Nothing is allocated for it. In
// layout B all lengths that may occur take one byte in their shortest form.
func (r *Reader) length(what string) (uint32, error) {
	if r.head.Layout == A {
		return r.in.u32(what)
	}
	b, err := r.in.u8(what)
	if err == nil && b >= 0x80 {
		err = r.in.damaged("a %s's length is more than 127, or not in its shortest form", what)
	}
	return uint32(b), err
}

// finish proves the file's end.
func (r *Reader) finish() error {
	r.in.place = ""
	r.digest = r.in.sum.Sum64()
	if r.head.Layout == A {
		sum, err := r.in.u64("sum")
		if err != nil {
			return err
		}
		if sum != r.digest {
			return r.in.damaged("the sum over the file is %016x, its last bytes say %016x", r.digest, sum)
		}
	}
	return r.in.end()
}

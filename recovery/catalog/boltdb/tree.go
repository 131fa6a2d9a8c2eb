package boltdb

import (
	"bytes"
	"encoding/binary"
)

// maxDepth bounds the levels of a tree: a table of 2^40 rows has about 8.
const maxDepth = 32

// bucket is a bucket of the root: a tree, or a leaf inside of the root's own.
type bucket struct {
	root   uint64 // page; 0: inline
	inline []byte
}

// buckets reads the root bucket.
func (p *pages) buckets() (map[string]bucket, error) {
	w := walk{pages: p, tree: bucket{root: p.root}}
	all, last := map[string]bucket{}, ""
	ok, err := w.first()
	for ; ok && err == nil; ok, err = w.next() {
		flags, key, value, err := w.element()
		switch {
		case err != nil:
			return nil, err
		case flags != flagBucket || len(value) < bucketLen || string(key) <= last:
			return nil, p.damage(w.at().id, "%q after %q is not a bucket", key, last)
		}
		b := bucket{root: binary.NativeEndian.Uint64(value)}
		if b.root == 0 {
			b.inline = bytes.Clone(value[bucketLen:])
		}
		last = string(key)
		all[last] = b
	}
	return all, err
}

// value returns the one value of a bucket.
func (p *pages) value(b bucket, name string) ([]byte, error) {
	w := walk{pages: p, tree: b}
	ok, err := w.first()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, p.damage(b.root, "%q is missing", name)
	}
	flags, key, value, err := w.element()
	if at := w.at(); err == nil && (flags != 0 || string(key) != name || at.count != 1) {
		err = p.damage(at.id, "%q among %d elements instead of %q alone", key, at.count, name)
	}
	return value, err
}

// walk is a place in a tree, and the pages from its root down to it.
type walk struct {
	pages *pages
	tree  bucket
	path  []level // from the root to a leaf; empty: nowhere
	spare []level // memory of levels not in path
}

type level struct {
	node
	i   int // element
	buf []byte
}

// at returns the leaf.
func (w *walk) at() *level { return &w.path[len(w.path)-1] }

// element returns the leaf's present element.
func (w *walk) element() (flags uint32, key, value []byte, err error) {
	at := w.at()
	return w.pages.leafAt(&at.node, at.i)
}

// push makes a page the next level down, reading it unless it is the one that
// was there before.
func (w *walk) push(id uint64) error {
	if len(w.path) == maxDepth {
		return w.pages.damage(id, "the tree is more than %d levels deep", maxDepth)
	}
	if len(w.spare) == 0 {
		w.spare = append(w.spare, level{})
	}
	l := &w.spare[len(w.spare)-1]
	var err error
	switch {
	case id == 0:
		l.node, err = w.pages.parse(0, w.tree.inline)
	case l.node.raw == nil || l.node.id != id:
		l.node = node{}
		l.node, err = w.pages.node(id, &l.buf)
	}
	if err != nil {
		l.node = node{}
		return err
	}
	l.i = 0
	w.path = append(w.path, *l)
	w.spare = w.spare[:len(w.spare)-1]
	return nil
}

// pop goes a level up, keeping the memory.
func (w *walk) pop() {
	w.spare = append(w.spare, w.path[len(w.path)-1])
	w.path = w.path[:len(w.path)-1]
}

func (w *walk) reset() {
	for len(w.path) > 0 {
		w.pop()
	}
}

// top goes to the root; ok is false where the tree is empty.
func (w *walk) top() (ok bool, err error) {
	w.reset()
	if err := w.push(w.tree.root); err != nil {
		return false, err
	}
	if at := w.at(); at.count == 0 {
		w.reset()
		return false, nil
	}
	return true, nil
}

// first goes to the first element; ok is false where there is none.
func (w *walk) first() (ok bool, err error) {
	if ok, err := w.top(); !ok || err != nil {
		return false, err
	}
	return w.arrive(w.descend(func(*level) (int, error) { return 0, nil }))
}

// arrive ends a movement: after an error the walk is nowhere.
func (w *walk) arrive(err error) (bool, error) {
	if err != nil {
		w.reset()
	}
	return err == nil, err
}

// descend goes from the lowest level of path down to a leaf, at each level to
// the element that choose names.
func (w *walk) descend(choose func(*level) (int, error)) (err error) {
	for {
		at := w.at()
		if at.i, err = choose(at); err != nil || at.leaf {
			return err
		}
		if err := w.down(); err != nil {
			return err
		}
	}
}

// down goes to the child that the lowest level's present element names.
func (w *walk) down() error {
	at := w.at()
	_, child, err := w.pages.branchAt(&at.node, at.i)
	if err != nil {
		return err
	}
	if err := w.push(child); err != nil {
		return err
	}
	if w.at().count == 0 {
		return w.pages.damage(child, "it is empty")
	}
	return nil
}

// next goes to the next element; ok is false where there is none. Then, or
// after an error, the walk is nowhere.
func (w *walk) next() (ok bool, err error) { return w.sideways(1) }

// previous goes to the element before.
func (w *walk) previous() (ok bool, err error) { return w.sideways(-1) }

func (w *walk) sideways(by int) (bool, error) {
	for len(w.path) > 0 {
		if at := w.at(); at.i+by >= 0 && at.i+by < at.count {
			at.i += by
			break
		}
		w.pop()
	}
	if len(w.path) == 0 || w.at().leaf {
		return len(w.path) > 0, nil
	}
	if err := w.down(); err != nil {
		return w.arrive(err)
	}
	return w.arrive(w.descend(func(l *level) (int, error) {
		if by > 0 {
			return 0, nil
		}
		return l.count - 1, nil
	}))
}

// seek goes to the first element whose key is key or more; ok is false where
// there is none. It trusts the branches: who asks proves the neighbour.
func (w *walk) seek(key []byte) (ok bool, err error) {
	if ok, err := w.top(); !ok || err != nil {
		return false, err
	}
	if ok, err := w.arrive(w.descend(func(l *level) (int, error) { return l.search(w.pages, key) })); !ok {
		return false, err
	}
	at := w.at()
	if at.i < at.count {
		return true, nil
	}
	at.i = at.count - 1
	return w.next()
}

// search returns the child of a branch that key is below, or the first element
// of a leaf that is key or more, or the count where there is none.
func (l *level) search(p *pages, key []byte) (int, error) {
	low, high := 0, l.count // all before low are less, all from high on are not
	for low < high {
		middle := (low + high) / 2
		k, err := p.keyAt(&l.node, middle)
		if err != nil {
			return 0, err
		}
		switch order := bytes.Compare(k, key); {
		case order == 0:
			return middle, nil
		case order < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	if l.leaf {
		return low, nil
	}
	return max(0, low-1), nil
}

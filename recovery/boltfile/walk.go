package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
)

// PageSize is that of every file, in bytes.
const PageSize = 4096

// A bbolt file, as far as it has to be known to prove it without bbolt: pages of
// 4 KiB, two meta pages, a tree of branches and leaves whose root holds buckets,
// each of which is a tree or lies inline in its value, and a list of free pages.
// Integers are the machine's.
const (
	pageHeader  = 16 // id u64, flags u16, count u16, overflow u32
	leafElement = 16 // flags u32, pos u32 (from the element), key size u32, value size u32
	branchEntry = 16 // pos u32, key size u32, page u64
	bucketLen   = 16 // root page u64 (0: inline), sequence u64
	metaLen     = 64
	metaSummed  = metaLen - 8 // what the checksum covers

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	maxDepth = 32 // of a tree; far more than a file can need
)

// Visitor is called for every key of a file, bucket by bucket in rising order, with
// rising keys in each. What it is given may be kept: nothing else is done with it.
type Visitor func(bucket, key, value []byte) error

// Walk proves a file's pages and visits what they hold, without bbolt: with ReadAt,
// within bounds, each page once. It succeeds only if the file is fit to be opened:
// both meta pages are intact and of successive transactions, every page below the
// high water mark is used exactly once or free, keys rise, and nothing points outside
// of where it belongs. What was visited before an error proves nothing: a pointer that
// is damaged may lead to a page of an older transaction, checksums and all. It returns
// the number of the file's last transaction. Errors are the reader's own, *Damage, or
// the visitor's.
func Walk(r io.ReaderAt, size int64, visit Visitor) (txid uint64, err error) {
	w := &pageWalk{r: r, visit: visit}
	m, err := w.newestMeta(uint64(size / PageSize))
	if err != nil {
		return 0, err
	}
	w.used = make([]bool, m.highWater)
	w.used[0], w.used[1] = true, true
	if err := w.freelist(m.freelist); err != nil {
		return 0, err
	}
	if err := w.tree(m.root, nil); err != nil {
		return 0, err
	}
	for id, used := range w.used {
		if !used {
			return 0, damaged("page %d is neither used nor free", id)
		}
	}
	return m.txid, nil
}

type pageWalk struct {
	r     io.ReaderAt
	visit Visitor
	used  []bool // by page id, below the high water mark
}

// boltMeta is what a meta page says.
type boltMeta struct{ root, freelist, highWater, txid uint64 }

// newestMeta returns the newer of the two meta pages. With only one of them intact,
// which bbolt would go on from, what it names may be older than what was
// acknowledged, and its pages may have been used again since.
func (w *pageWalk) newestMeta(pages uint64) (boltMeta, error) {
	var metas [2]boltMeta
	for id := range metas {
		m, err := w.meta(uint64(id), pages)
		if err != nil {
			return boltMeta{}, err
		}
		metas[id] = m
	}
	switch a, b := metas[0], metas[1]; {
	case a.txid == b.txid+1:
		return a, nil
	case b.txid == a.txid+1:
		return b, nil
	default:
		return boltMeta{}, damaged("the meta pages are of transactions %d and %d", a.txid, b.txid)
	}
}

func (w *pageWalk) meta(id, pages uint64) (boltMeta, error) {
	var page [pageHeader + metaLen]byte
	if err := w.read(page[:], id); err != nil {
		return boltMeta{}, err
	}
	h, b := pageAt(page[:]), page[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:metaSummed])
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	m := boltMeta{root: u64(b[16:]), freelist: u64(b[32:]), highWater: u64(b[40:]), txid: u64(b[48:])}
	switch {
	case h.id != id || h.flags != flagMeta:
		return m, damaged("page %d is not a meta page", id)
	case u32(b) != boltMagic || u32(b[4:]) != boltVersion || u64(b[metaSummed:]) != sum.Sum64():
		return m, damaged("meta page %d is not intact", id)
	case u32(b[8:]) != PageSize:
		return m, damaged("meta page %d: pages are %d bytes long, want %d", id, u32(b[8:]), PageSize)
	case u32(b[12:]) != 0 || u64(b[24:]) != 0:
		return m, damaged("meta page %d has flags or a sequence", id)
	case m.txid%2 != id:
		return m, damaged("meta page %d is of transaction %d", id, m.txid)
	case m.highWater < 4 || m.highWater > pages:
		return m, damaged("meta page %d: %d pages are used, but the file has %d", id, m.highWater, pages)
	}
	return m, nil
}

// tree visits a tree: of buckets if name is nil, and of a bucket's keys otherwise.
func (w *pageWalk) tree(root uint64, name []byte) error {
	t := treeWalk{w: w, name: name}
	return t.page(root, 0)
}

// treeWalk is the walk through one tree.
type treeWalk struct {
	w    *pageWalk
	name []byte // of the bucket; nil: this is the tree of buckets
	last []byte // the key visited last
	any  bool
}

func (t *treeWalk) page(id uint64, depth int) error {
	if depth == maxDepth {
		return damaged("page %d lies %d levels deep", id, depth)
	}
	raw, err := t.w.page(id, flagBranch|flagLeaf)
	if err != nil {
		return err
	}
	if pageAt(raw).flags == flagLeaf {
		return t.leaf(raw, id)
	}
	n := int(pageAt(raw).count)
	table := pageHeader + n*branchEntry
	if n == 0 || table > len(raw) {
		return damaged("page %d: %d branches do not fit", id, n)
	}
	for i, next := 0, table; i < n; i++ {
		at := pageHeader + i*branchEntry
		b := raw[at:]
		key, ok := part(raw, at, next, binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]))
		next += len(key)
		switch {
		case !ok:
			return damaged("page %d: branch %d is not where it belongs", id, i)
		case t.any && bytes.Compare(t.last, key) >= 0:
			return damaged("page %d: branch %d begins with %x, after %x", id, i, key, t.last)
		}
		// All below it begins with its key or later.
		t.last, t.any = append(t.last[:0], before(key)...), len(before(key)) > 0
		if err := t.page(binary.NativeEndian.Uint64(b[8:]), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// before is a key that orders below key, with nothing that matters between.
func before(key []byte) []byte {
	if len(key) == 0 {
		return nil
	}
	k := bytes.Clone(key)
	if k[len(k)-1] == 0 {
		return k[:len(k)-1]
	}
	k[len(k)-1]--
	return append(k, bytes.Repeat([]byte{0xff}, 64)...)
}

func (t *treeWalk) leaf(raw []byte, id uint64) error {
	n := int(pageAt(raw).count)
	table := pageHeader + n*leafElement
	if table > len(raw) {
		return damaged("page %d: %d elements do not fit", id, n)
	}
	for i, next := 0, table; i < n; i++ {
		at := pageHeader + i*leafElement
		b, u32 := raw[at:], binary.NativeEndian.Uint32
		both, ok := part(raw, at, next, u32(b[4:]), u32(b[8:])+u32(b[12:]))
		next += len(both)
		if !ok || u32(b[8:]) > u32(b[8:])+u32(b[12:]) || u32(b[8:]) == 0 {
			return damaged("page %d: element %d is not where it belongs", id, i)
		}
		key, value := both[:u32(b[8:])], both[u32(b[8:]):]
		if t.any && bytes.Compare(t.last, key) >= 0 {
			return damaged("page %d: key %x follows %x", id, key, t.last)
		}
		t.last, t.any = append(t.last[:0], key...), true
		if err := t.element(u32(b), key, value, id); err != nil {
			return err
		}
	}
	return nil
}

func (t *treeWalk) element(flags uint32, key, value []byte, id uint64) error {
	switch {
	case t.name != nil && flags == 0:
		return t.w.visit(t.name, key, value)
	case t.name != nil || flags != flagBucket || len(value) < bucketLen:
		return damaged("page %d: element %x has flags %#x", id, key, flags)
	}
	root, inline := binary.NativeEndian.Uint64(value), value[bucketLen:]
	name := bytes.Clone(key)
	switch {
	case binary.NativeEndian.Uint64(value[8:]) != 0:
		return damaged("page %d: bucket %q has a sequence", id, key)
	case root != 0 && len(inline) == 0:
		return t.w.tree(root, name)
	case root != 0 || len(inline) < pageHeader || pageAt(inline).flags != flagLeaf || pageAt(inline).overflow != 0:
		return damaged("page %d: bucket %q is neither inline nor elsewhere", id, key)
	}
	in := treeWalk{w: t.w, name: name}
	return in.leaf(inline, id)
}

// part returns size bytes of a page that begin pos bytes behind at, which must be at
// next: bbolt leaves no gaps, so an element that a damaged count leaves out shows.
func part(raw []byte, at, next int, pos, size uint32) ([]byte, bool) {
	start := uint64(at) + uint64(pos)
	end := start + uint64(size)
	if start != uint64(next) || end > uint64(len(raw)) {
		return nil, false
	}
	return raw[start:end], true
}

// freelist marks the free pages as used up. A page that is free and in use would
// be given out while it is read.
func (w *pageWalk) freelist(id uint64) error {
	page, err := w.page(id, flagFreelist)
	if err != nil {
		return err
	}
	count, ids := uint64(pageAt(page).count), page[pageHeader:]
	if count == 0xFFFF { // the count did not fit, and comes first
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damaged("page %d: %d free pages do not fit", id, count)
	}
	prev := uint64(1)
	for i := range count {
		free := binary.NativeEndian.Uint64(ids[8*i:])
		if free <= prev || free >= uint64(len(w.used)) || w.used[free] {
			return damaged("page %d: free page %d follows %d", id, free, prev)
		}
		w.used[free] = true
		prev = free
	}
	return nil
}

// page reads a page of one of these kinds with its overflow, and marks what it
// takes.
func (w *pageWalk) page(id uint64, kinds uint16) ([]byte, error) {
	if id < 2 || id >= uint64(len(w.used)) {
		return nil, damaged("page %d is outside of the %d that are used", id, len(w.used))
	}
	first := make([]byte, PageSize)
	if err := w.read(first, id); err != nil {
		return nil, err
	}
	h := pageAt(first)
	switch {
	case h.id != id:
		return nil, damaged("page %d calls itself %d", id, h.id)
	case h.flags&^kinds != 0 || h.flags&(h.flags-1) != 0 || h.flags == 0:
		return nil, damaged("page %d has flags %#x", id, h.flags)
	case uint64(h.overflow) >= uint64(len(w.used))-id:
		return nil, damaged("page %d and the %d after it go beyond the %d that are used", id, h.overflow, len(w.used))
	}
	for i := id; i <= id+uint64(h.overflow); i++ {
		if w.used[i] {
			return nil, damaged("page %d is used twice", i)
		}
		w.used[i] = true
	}
	if h.overflow == 0 {
		return first, nil
	}
	page := make([]byte, (uint64(h.overflow)+1)*PageSize)
	return page, w.read(page, id)
}

// read fills buf from a page's start. A file that ends here was cut, which is
// damage too.
func (w *pageWalk) read(buf []byte, id uint64) error {
	n, err := w.r.ReadAt(buf, int64(id)*PageSize)
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return damaged("the file ends in page %d", id)
	}
	return err
}

type pageHead struct {
	id       uint64
	flags    uint16
	count    uint16
	overflow uint32
}

// pageAt reads a page's header; b holds at least that.
func pageAt(b []byte) pageHead {
	return pageHead{
		id:       binary.NativeEndian.Uint64(b),
		flags:    binary.NativeEndian.Uint16(b[8:]),
		count:    binary.NativeEndian.Uint16(b[10:]),
		overflow: binary.NativeEndian.Uint32(b[12:]),
	}
}

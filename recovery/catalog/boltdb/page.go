package boltdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt's pages. A page begins with its id (u64), flags (u16), count of elements
// (u16) and overflow (u32), the pages that it continues on. Elements are 16
// bytes: flags, position from the element, key and value size (u32 each) in a
// leaf; position, key size (u32 each) and child (u64) in a branch. Integers are
// the machine's, as bbolt's are.
const (
	pageHeader = 16
	element    = 16
	bucketLen  = 16 // root page u64, 0: inline; sequence u64
	metaLen    = 64
	metaSummed = metaLen - 8 // what the checksum covers

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagMeta   = 0x04
	flagBucket = 0x01 // of a leaf's element

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	// maxOverflow bounds the pages that one continues on. Only the state's
	// description is larger than a page.
	maxOverflow = 2 * maxState / minPage
	minPage     = 1 << 10
	maxPage     = 1 << 16
)

// pages reads the pages of a bbolt file that does not change. What lies outside
// of where it belongs is damage, and never read.
type pages struct {
	src       io.ReaderAt
	path      string
	size      int64
	pageSize  int64
	highWater uint64 // pages in use
	root      uint64 // of the newest transaction
}

func (p *pages) damage(id uint64, format string, args ...any) error {
	return &CorruptError{Path: p.path, Offset: int64(id) * p.pageSize, What: fmt.Sprintf(format, args...)}
}

// openPages reads the two meta pages. Both must be intact and from successive
// transactions, as they are in every file that was finished: with one of them
// alone, what it names may be a load that was under way.
func openPages(src io.ReaderAt, path string, size int64) (*pages, error) {
	p := &pages{src: src, path: path, size: size}
	var metas [2]meta
	var err error
	if metas[0], err = p.meta(0, 0); err != nil {
		return nil, err
	}
	p.pageSize = int64(metas[0].pageSize)
	if metas[1], err = p.meta(1, p.pageSize); err != nil {
		return nil, err
	}
	newest := metas[0]
	switch a, b := metas[0], metas[1]; {
	case a.pageSize != b.pageSize:
		return nil, p.damage(1, "the meta pages disagree about the size of pages")
	case b.txid == a.txid+1:
		newest = b
	case a.txid != b.txid+1:
		return nil, p.damage(0, "the meta pages are of transactions %d and %d", a.txid, b.txid)
	}
	p.root, p.highWater = newest.root, newest.highWater
	if p.highWater < 4 || p.highWater > uint64(size/p.pageSize) {
		return nil, p.damage(newest.txid%2, "%d pages are in use, and the file has %d", p.highWater, size/p.pageSize)
	}
	return p, nil
}

// hasMagic reports whether a file that begins with first is bbolt's.
func hasMagic(first []byte) bool {
	return binary.NativeEndian.Uint32(first[pageHeader:]) == boltMagic
}

// meta is what a meta page says.
type meta struct {
	pageSize              uint32
	root, highWater, txid uint64
}

func (p *pages) meta(id uint64, offset int64) (m meta, err error) {
	var raw [pageHeader + metaLen]byte
	if err := p.readAt(raw[:], offset, id); err != nil {
		return m, err
	}
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	b := raw[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:metaSummed])
	m = meta{pageSize: u32(b[8:]), root: u64(b[16:]), highWater: u64(b[40:]), txid: u64(b[48:])}
	switch {
	case u64(raw[:]) != id || binary.NativeEndian.Uint16(raw[8:]) != flagMeta || u32(b) != boltMagic || u32(b[4:]) != boltVersion:
		return m, p.damage(id, "it is not meta page %d", id)
	case u64(b[metaSummed:]) != sum.Sum64():
		return m, p.damage(id, "the checksum of meta page %d is wrong", id)
	case m.pageSize < minPage || m.pageSize > maxPage || m.pageSize&(m.pageSize-1) != 0:
		return m, p.damage(id, "pages of %d bytes", m.pageSize)
	}
	return m, nil
}

// readAt fills buf. An early end is damage; another error is not (hazard 43).
func (p *pages) readAt(buf []byte, offset int64, id uint64) error {
	n, err := p.src.ReadAt(buf, offset)
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return p.damage(id, "the file ends inside it")
	}
	return fmt.Errorf("read %s at byte %d: %w", p.path, offset, err)
}

// node is a leaf or a branch. It aliases what it was read into.
type node struct {
	id    uint64
	leaf  bool
	count int
	raw   []byte // the whole page; an inline bucket's value
}

// node reads a page of a tree into buf, which it may replace by a larger one.
func (p *pages) node(id uint64, buf *[]byte) (node, error) {
	if id < 2 || id >= p.highWater {
		return node{}, p.damage(0, "a page number %d, of %d", id, p.highWater)
	}
	if int64(cap(*buf)) < p.pageSize {
		*buf = make([]byte, p.pageSize)
	}
	raw := (*buf)[:p.pageSize]
	if err := p.readAt(raw, int64(id)*p.pageSize, id); err != nil {
		return node{}, err
	}
	overflow := binary.NativeEndian.Uint32(raw[12:])
	if overflow > maxOverflow || id+uint64(overflow) >= p.highWater {
		return node{}, p.damage(id, "it goes on for %d pages", overflow)
	}
	if overflow > 0 {
		first := raw
		raw = make([]byte, int64(overflow+1)*p.pageSize)
		copy(raw, first)
		if err := p.readAt(raw[len(first):], int64(id+1)*p.pageSize, id+1); err != nil {
			return node{}, err
		}
		*buf = raw
	}
	return p.parse(id, raw)
}

// parse checks the header of a tree's page. id 0: an inline bucket's.
func (p *pages) parse(id uint64, raw []byte) (node, error) {
	if len(raw) < pageHeader {
		return node{}, p.damage(id, "a bucket of %d bytes", len(raw))
	}
	n := node{id: id, count: int(binary.NativeEndian.Uint16(raw[10:])), raw: raw}
	switch flags := binary.NativeEndian.Uint16(raw[8:]); {
	case binary.NativeEndian.Uint64(raw) != id:
		return n, p.damage(id, "it says that it is page %d", binary.NativeEndian.Uint64(raw))
	case flags == flagLeaf:
		n.leaf = true
	case flags != flagBranch || n.count == 0:
		return n, p.damage(id, "flags %#x with %d elements", flags, n.count)
	}
	if pageHeader+n.count*element > len(raw) {
		return n, p.damage(id, "%d elements do not fit", n.count)
	}
	return n, nil
}

// part returns size bytes that lie at an element's position.
func (p *pages) part(n *node, i int, position, size uint64) ([]byte, error) {
	from := uint64(pageHeader+i*element) + position
	if from+size > uint64(len(n.raw)) || position < element {
		return nil, p.damage(n.id, "element %d lies outside", i)
	}
	return n.raw[from : from+size], nil
}

// leafAt returns an element of a leaf.
func (p *pages) leafAt(n *node, i int) (flags uint32, key, value []byte, err error) {
	e := n.raw[pageHeader+i*element:]
	u32 := binary.NativeEndian.Uint32
	position, keySize, valueSize := uint64(u32(e[4:])), uint64(u32(e[8:])), uint64(u32(e[12:]))
	both, err := p.part(n, i, position, keySize+valueSize)
	if err != nil {
		return 0, nil, nil, err
	}
	return u32(e), both[:keySize], both[keySize:], nil
}

// branchAt returns an element of a branch: the first key below a child.
func (p *pages) branchAt(n *node, i int) (key []byte, child uint64, err error) {
	e := n.raw[pageHeader+i*element:]
	key, err = p.part(n, i, uint64(binary.NativeEndian.Uint32(e)), uint64(binary.NativeEndian.Uint32(e[4:])))
	return key, binary.NativeEndian.Uint64(e[8:]), err
}

// keyAt returns the key of any element.
func (p *pages) keyAt(n *node, i int) (key []byte, err error) {
	if n.leaf {
		_, key, _, err = p.leafAt(n, i)
		return key, err
	}
	key, _, err = p.branchAt(n, i)
	return key, err
}

package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
)

// The database as this package writes it: pages of 4 KiB; a root leaf that holds
// one bucket; in it, inline or as a leaf of its own, two keys. bbolt never splits
// a leaf of so few keys, so the tree has no branches. Integers are the machine's,
// as bbolt's are. The head's value begins with the number of the transaction that
// wrote it, which must be the meta page's: so a page whose last write never
// arrived, or went elsewhere, is noticed although its old content is intact.
const (
	pageSize    = 4096
	pageHeader  = 16 // id u64, flags u16, count u16, overflow u32
	leafElement = 16 // flags u32, pos u32 (from the element), key size u32, value size u32
	bucketLen   = 16 // root page u64 (0: inline), sequence u64
	metaLen     = 64
	metaSummed  = metaLen - 8 // what the checksum covers
	txidLen     = 8           // before the head, big-endian

	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01 // of a leaf element

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	// maxDatabase bounds a file that is looked into, in bytes: dozens of lists of
	// the largest size, of which two or three are in the file at a time.
	maxDatabase = 1 << 30
)

var (
	bucketName = []byte("checkpoint")
	headKey    = []byte("head")
	listKey    = []byte("list")
)

// scanPages reads both values of a database file without bbolt: with ReadAt,
// within bounds, each page at most once. It succeeds only if the file is fit to be
// opened: both meta pages are intact and follow each other, every page below the
// high water mark is used exactly once or free, and nothing points outside of
// where it belongs. Otherwise it returns no values at all: a pointer that is
// damaged may lead to a page that holds those of an older run, checksums and all.
// The values' own checksums are the caller's to look at. Errors are the reader's
// own, or damage.
func scanPages(r io.ReaderAt, size int64) (headValue, list []byte, err error) {
	if size < 4*pageSize || size > maxDatabase {
		return nil, nil, damaged("the file is %d bytes long, want %d to %d", size, 4*pageSize, maxDatabase)
	}
	s := &pageScan{r: r}
	m, err := s.newestMeta(uint64(size / pageSize))
	if err != nil {
		return nil, nil, err
	}
	s.used = make([]bool, m.highWater)
	s.used[0], s.used[1] = true, true
	if headValue, list, err = s.values(m.root); err != nil {
		return nil, nil, err
	}
	if len(headValue) < txidLen || binary.BigEndian.Uint64(headValue) != m.txid {
		return nil, nil, damaged("the head is not of transaction %d", m.txid)
	}
	if err := s.freelist(m.freelist); err != nil {
		return nil, nil, err
	}
	for id, used := range s.used {
		if !used {
			return nil, nil, damaged("page %d is neither used nor free", id)
		}
	}
	return headValue[txidLen:], list, nil
}

type pageScan struct {
	r    io.ReaderAt
	used []bool // by page id, below the high water mark
}

// meta is what a meta page says.
type meta struct{ root, freelist, highWater, txid uint64 }

// newestMeta returns the newer of the two meta pages. Both must be intact and
// from successive transactions: with only one of them, what it names may be
// older than what was acknowledged, and its pages may be in use again.
func (s *pageScan) newestMeta(pages uint64) (meta, error) {
	var metas [2]meta
	for id := range metas {
		m, err := s.meta(uint64(id), pages)
		if err != nil {
			return meta{}, err
		}
		metas[id] = m
	}
	switch a, b := metas[0], metas[1]; {
	case a.txid == b.txid+1:
		return a, nil
	case b.txid == a.txid+1:
		return b, nil
	default:
		return meta{}, damaged("the meta pages are of transactions %d and %d", a.txid, b.txid)
	}
}

func (s *pageScan) meta(id, pages uint64) (meta, error) {
	var page [pageHeader + metaLen]byte
	if err := s.read(page[:], id); err != nil {
		return meta{}, err
	}
	h, b := pageAt(page[:]), page[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:metaSummed]) // never fails
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	m := meta{root: u64(b[16:]), freelist: u64(b[32:]), highWater: u64(b[40:]), txid: u64(b[48:])}
	switch {
	case h.id != id || h.flags != flagMeta:
		return meta{}, damaged("page %d is not a meta page", id)
	case u32(b) != boltMagic || u32(b[4:]) != boltVersion || u64(b[metaSummed:]) != sum.Sum64():
		return meta{}, damaged("meta page %d is not intact", id)
	case u32(b[8:]) != pageSize:
		return meta{}, damaged("meta page %d: pages are %d bytes long, want %d", id, u32(b[8:]), pageSize)
	case m.txid%2 != id:
		return meta{}, damaged("meta page %d is of transaction %d", id, m.txid)
	case m.highWater < 4 || m.highWater > pages:
		return meta{}, damaged("meta page %d: %d pages are used, but the file has %d", id, m.highWater, pages)
	}
	return m, nil
}

// values follows the root leaf to the bucket, and the bucket to its two values.
func (s *pageScan) values(root uint64) (headValue, list []byte, err error) {
	page, err := s.page(root, flagLeaf)
	if err != nil {
		return nil, nil, err
	}
	elements, err := leafElements(page, 1, root)
	if err != nil {
		return nil, nil, err
	}
	bucket := elements[0]
	if bucket.flags != flagBucket || !bytes.Equal(bucket.key, bucketName) || len(bucket.value) < bucketLen {
		return nil, nil, damaged("page %d does not hold the bucket", root)
	}
	child := binary.NativeEndian.Uint64(bucket.value)
	if binary.NativeEndian.Uint64(bucket.value[8:]) != 0 {
		return nil, nil, damaged("page %d: the bucket has a sequence", root)
	}
	leaf := bucket.value[bucketLen:]
	switch {
	case child != 0 && len(leaf) > 0:
		return nil, nil, damaged("page %d: the bucket is inline and on page %d", root, child)
	case child != 0:
		if leaf, err = s.page(child, flagLeaf); err != nil {
			return nil, nil, err
		}
	case len(leaf) < pageHeader || pageAt(leaf).flags != flagLeaf || pageAt(leaf).overflow != 0:
		return nil, nil, damaged("page %d: the inline bucket is not a leaf", root)
	}
	if elements, err = leafElements(leaf, 2, child); err != nil {
		return nil, nil, err
	}
	for i, key := range [][]byte{headKey, listKey} {
		if elements[i].flags != 0 || !bytes.Equal(elements[i].key, key) {
			return nil, nil, damaged("page %d: key %d is not %q", child, i, key)
		}
	}
	return elements[0].value, elements[1].value, nil
}

// freelist marks the free pages as used up. A page that is free and in use, or
// free twice, would be given out while it is read.
func (s *pageScan) freelist(id uint64) error {
	page, err := s.page(id, flagFreelist)
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
		if free <= prev || free >= uint64(len(s.used)) || s.used[free] {
			return damaged("page %d: free page %d follows %d", id, free, prev)
		}
		s.used[free] = true
		prev = free
	}
	return nil
}

// page reads a page with its overflow, and marks what it takes.
func (s *pageScan) page(id uint64, flags uint16) ([]byte, error) {
	if id < 2 || id >= uint64(len(s.used)) {
		return nil, damaged("page %d is outside of the %d that are used", id, len(s.used))
	}
	var first [pageHeader]byte
	if err := s.read(first[:], id); err != nil {
		return nil, err
	}
	h := pageAt(first[:])
	switch {
	case h.id != id:
		return nil, damaged("page %d calls itself %d", id, h.id)
	case h.flags != flags:
		return nil, damaged("page %d has flags %#x, want %#x", id, h.flags, flags)
	case uint64(h.overflow) >= uint64(len(s.used))-id:
		return nil, damaged("page %d and the %d after it go beyond the %d that are used", id, h.overflow, len(s.used))
	}
	for i := id; i <= id+uint64(h.overflow); i++ {
		if s.used[i] {
			return nil, damaged("page %d is used twice", i)
		}
		s.used[i] = true
	}
	page := make([]byte, (uint64(h.overflow)+1)*pageSize)
	return page, s.read(page, id)
}

// read fills buf from a page's start. The file's size was looked at before, so a
// file that ends here was cut since, which is damage too.
func (s *pageScan) read(buf []byte, id uint64) error {
	n, err := s.r.ReadAt(buf, int64(id)*pageSize)
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

type element struct {
	flags      uint32
	key, value []byte // alias the page
}

// leafElements returns the elements of a leaf, of which there must be want.
func leafElements(page []byte, want int, id uint64) ([]element, error) {
	if n := int(pageAt(page).count); n != want {
		return nil, damaged("page %d has %d elements, want %d", id, n, want)
	}
	table := pageHeader + want*leafElement
	if table > len(page) {
		return nil, damaged("page %d: %d elements do not fit", id, want)
	}
	out := make([]element, want)
	for i := range out {
		at := pageHeader + i*leafElement
		b := page[at:]
		u32 := binary.NativeEndian.Uint32
		start := uint64(at) + uint64(u32(b[4:]))
		mid := start + uint64(u32(b[8:]))
		end := mid + uint64(u32(b[12:]))
		if start < uint64(table) || mid == start || end > uint64(len(page)) {
			return nil, damaged("page %d: element %d lies outside of it", id, i)
		}
		out[i] = element{flags: u32(b), key: page[start:mid], value: page[mid:end]}
	}
	return out, nil
}

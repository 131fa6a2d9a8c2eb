package boltdb

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

const (
	pageSize     = 4096
	flagFreelist = 0x10
	metaPages    = 2 // at the file's beginning; the freelist's follows
	// firstTx is the number of the transaction that the first meta page says it is
	// of; the second one is of the next, and names the same state.
	firstTx = 2
)

// builder writes a bbolt file from front to back: pages of elements by rising
// keys as they fill, each branch when it is full, roots last. The file has no free
// page, and is the same for the same elements. bbolt itself gets there only by
// transactions, each of which writes the way to the root, the freelist and a meta
// page again.
type builder struct {
	out    io.Writer // begins after the meta pages
	next   uint64    // the page that is written next
	levels []pending // of the tree that is being built, leaves first
	page   []byte    // memory of the page that is being put together
}

// pending is a page under way.
type pending struct {
	elements []byte // with positions in data
	data     []byte // keys and values
}

func (p *pending) count() int { return len(p.elements) / element }
func (p *pending) size() int  { return pageHeader + len(p.elements) + len(p.data) }

// newBuilder begins a file with an empty freelist.
func newBuilder(out io.Writer) (*builder, error) {
	b := &builder{out: out, next: metaPages}
	_, err := b.write(flagFreelist, &pending{})
	return b, err
}

// put adds an element to the tree's leaves. Keys rise strictly. One that is larger
// than a page gets pages of its own.
func (b *builder) put(flags uint32, key, value []byte) error {
	var e [element]byte
	binary.NativeEndian.PutUint32(e[0:], flags)
	binary.NativeEndian.PutUint32(e[8:], uint32(len(key)))
	binary.NativeEndian.PutUint32(e[12:], uint32(len(value)))
	return b.add(0, e, key, value)
}

// putChild adds a page to a level of branches, by its first key.
func (b *builder) putChild(level int, key []byte, child uint64) error {
	var e [element]byte
	binary.NativeEndian.PutUint32(e[4:], uint32(len(key)))
	binary.NativeEndian.PutUint64(e[8:], child)
	return b.add(level, e, key, nil)
}

// positionAt is where an element's position is: relative to the element itself.
func positionAt(level int) int {
	if level == 0 {
		return 4
	}
	return 0
}

// add adds an element to the page under way on a level, which is ended first
// where it has no room.
func (b *builder) add(level int, e [element]byte, key, value []byte) error {
	if level == len(b.levels) {
		b.levels = append(b.levels, pending{})
	}
	if size := b.levels[level].size() + element + len(key) + len(value); size > pageSize && b.levels[level].count() > 0 {
		if err := b.endPage(level); err != nil {
			return err
		}
	}
	p := &b.levels[level]
	binary.NativeEndian.PutUint32(e[positionAt(level):], uint32(len(p.data))) // completed by seal
	p.elements = append(p.elements, e[:]...)
	p.data = append(append(p.data, key...), value...)
	return nil
}

// endPage writes the page under way on a level and adds it to the level above.
func (b *builder) endPage(level int) error {
	p := &b.levels[level]
	first := p.firstKey(level)
	id, err := b.seal(level)
	if err != nil {
		return err
	}
	if err := b.putChild(level+1, first, id); err != nil {
		return err
	}
	p = &b.levels[level] // putChild may have moved it
	p.elements, p.data = p.elements[:0], p.data[:0]
	return nil
}

// firstKey returns the key of the first element; its length follows the position,
// in either kind.
func (p *pending) firstKey(level int) []byte {
	return p.data[:binary.NativeEndian.Uint32(p.elements[positionAt(level)+4:])]
}

// endTree writes what is under way and returns the root. The next put begins
// another tree.
func (b *builder) endTree() (root uint64, err error) {
	if len(b.levels) == 0 {
		b.levels = append(b.levels, pending{}) // an empty leaf
	}
	for level := 0; level < len(b.levels)-1; level++ {
		if err := b.endPage(level); err != nil {
			return 0, err
		}
	}
	root, err = b.seal(len(b.levels) - 1)
	b.levels = b.levels[:0]
	return root, err
}

// seal writes the page under way on a level.
func (b *builder) seal(level int) (id uint64, err error) {
	p := &b.levels[level]
	for i := range p.count() {
		e := p.elements[i*element+positionAt(level):]
		binary.NativeEndian.PutUint32(e, binary.NativeEndian.Uint32(e)+uint32(len(p.elements)-i*element))
	}
	if level == 0 {
		return b.write(flagLeaf, p)
	}
	return b.write(flagBranch, p)
}

// write writes a page, or a run of pages where one is too small.
func (b *builder) write(flags uint16, p *pending) (id uint64, err error) {
	pages := (p.size() + pageSize - 1) / pageSize
	page := binary.NativeEndian.AppendUint64(b.page[:0], b.next)
	page = binary.NativeEndian.AppendUint16(page, flags)
	page = binary.NativeEndian.AppendUint16(page, uint16(p.count()))
	page = binary.NativeEndian.AppendUint32(page, uint32(pages-1))
	page = append(append(page, p.elements...), p.data...)
	b.page = append(page, make([]byte, pages*pageSize-len(page))...)
	id, b.next = b.next, b.next+uint64(pages)
	_, err = b.out.Write(b.page)
	return id, err
}

// metas returns the meta pages of a file with that root bucket. Both name it, so
// that whoever writes to the file with bbolt goes on from a whole one.
func (b *builder) metas(root uint64) []byte {
	raw := make([]byte, metaPages*pageSize)
	u32, u64 := binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	for id := range uint64(metaPages) {
		page := raw[id*pageSize:]
		u64(page, id)
		binary.NativeEndian.PutUint16(page[8:], flagMeta)
		m := page[pageHeader : pageHeader+metaLen]
		u32(m[0:], boltMagic)
		u32(m[4:], boltVersion)
		u32(m[8:], pageSize)
		u64(m[16:], root)
		u64(m[32:], metaPages) // the freelist
		u64(m[40:], b.next)    // the high water mark
		u64(m[48:], firstTx+id)
		sum := fnv.New64a()
		sum.Write(m[:metaSummed])
		u64(m[metaSummed:], sum.Sum64())
	}
	return raw
}

package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A slot of the mirror is a file that is overwritten in place:
//
//	0   magic   "RCVDMIRR"
//	8   version u32
//	12  crc32c  u32, of bytes 0..11, 16..31 and the content
//	16  seq     u64
//	24  length  u32, of the content
//	28  zero    u32
//	32  content: the head, and the list unless it is empty or does not fit
//
// What lies after the content is an older, longer one's, and means nothing.
const (
	slotMagic   = "RCVDMIRR"
	slotVersion = 1
	slotHeader  = 32
	// maxContent bounds a slot's content, so that a write stays one small fsync.
	maxContent = 256 << 10
)

// slotSources are the slots: the first takes the odd sequence numbers.
func slotSources() [2]Source { return [2]Source{SourceMirrorA, SourceMirrorB} }

// slotOf returns the index of the slot that a sequence number is written to. It
// is never the one that holds the number before.
func slotOf(seq uint64) int { return int((seq + 1) % 2) }

// mirror is the second, independent copy, open for writing.
type mirror struct{ slots [2]file }

// openMirror opens both slots, and makes them, and their names durable, if they
// are missing. Errors wrap ErrCreate.
func openMirror(fs fsys, dir string) (*mirror, error) {
	m := &mirror{}
	for i, name := range slotSources() {
		f, err := fs.open(filepath.Join(dir, string(name)), os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrCreate, err), m.close())
		}
		m.slots[i] = f
		if err := reserve(f, slotHeader+maxContent); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: reserve room for %s: %w", ErrCreate, name, err), m.close())
		}
	}
	if err := fs.syncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: fsync directory: %w", ErrCreate, err), m.close())
	}
	return m, nil
}

// reserve keeps room for a slot beyond its end, so that a full disk can never cut
// an overwrite short and cost the copy that was there (hazard 51). File systems
// that cannot do it are left at that.
func reserve(f file, n int64) error {
	descriptor, ok := f.(interface{ Fd() uintptr })
	if !ok {
		return nil
	}
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) { // tmpfs lets any signal interrupt it
		err = unix.Fallocate(int(descriptor.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// write overwrites one slot with one write and one fsync.
func (m *mirror) write(img image) error {
	i := slotOf(img.order.seq)
	if err := writeSynced(m.slots[i], encodeSlot(img)); err != nil {
		return fmt.Errorf("%s: %w", slotSources()[i], err)
	}
	return nil
}

func (m *mirror) close() error {
	var errs []error
	for _, f := range m.slots {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func encodeSlot(img image) []byte {
	content := len(img.head)
	list := img.list
	if img.h.list.entries == 0 || content+len(list) > maxContent {
		list = nil
	}
	content += len(list)
	b := make([]byte, slotHeader, slotHeader+content)
	copy(b, slotMagic)
	binary.BigEndian.PutUint32(b[8:], slotVersion)
	binary.BigEndian.PutUint64(b[16:], img.order.seq)
	binary.BigEndian.PutUint32(b[24:], uint32(content))
	b = append(append(b, img.head...), list...)
	binary.BigEndian.PutUint32(b[12:], slotSum(b))
	return b
}

// readSlot reads a slot; ok is false for an empty one. Errors are the reader's
// own, damage, or wrap ErrVersion.
func readSlot(r io.ReaderAt) (s stored, ok bool, err error) {
	b := make([]byte, slotHeader)
	n, err := readUpTo(r, b, 0)
	switch {
	case err != nil:
		return stored{}, false, err
	case n == 0:
		return stored{}, false, nil
	case n < slotHeader || string(b[:8]) != slotMagic:
		return stored{}, false, damaged("there is no header")
	}
	length := binary.BigEndian.Uint32(b[24:])
	if length > maxContent {
		return stored{}, false, damaged("a content of %d bytes, at most %d fit", length, maxContent)
	}
	b = append(b, make([]byte, length)...)
	if n, err = readUpTo(r, b[slotHeader:], slotHeader); err != nil {
		return stored{}, false, err
	}
	if n < int(length) || binary.BigEndian.Uint32(b[12:]) != slotSum(b) {
		return stored{}, false, damaged("checksum does not match")
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != slotVersion {
		return stored{}, false, fmt.Errorf("%w: mirror format %d, this program knows %d", ErrVersion, v, slotVersion)
	}
	s, err = decodeContent(b[slotHeader:])
	if err == nil && (s.seq != binary.BigEndian.Uint64(b[16:]) || binary.BigEndian.Uint32(b[28:]) != 0) {
		return stored{}, false, damaged("the head is of another write")
	}
	return s, err == nil, err
}

// decodeContent splits a slot's content into its one or two values.
func decodeContent(content []byte) (stored, error) {
	n, ok := valueLen(content)
	if !ok {
		return stored{}, damaged("the head is cut off")
	}
	headValue, list := content[:n], content[n:]
	if len(list) == 0 {
		list = nil
	}
	return decodeStored(headValue, list)
}

func slotSum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(b[:12], table)
	return crc32.Update(sum, table, b[16:])
}

// readUpTo reads at most len(buf) bytes; fewer without an error means that the
// file ends there.
func readUpTo(r io.ReaderAt, buf []byte, off int64) (int, error) {
	n, err := r.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

package crashstate

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// image is what a disk holds after a power cut: the contents of files, and nil for
// directories, by their paths.
type image map[string][]byte

// imageAt applies every effect that has begun by a moment; those not in fates are
// kept.
func (d *disk) imageAt(moment int, fates map[*effect]fate) image {
	names := map[node]map[string]node{}
	bytes := map[node][]byte{}
	give := func(n *name, to node) {
		if names[n.dir] == nil {
			names[n.dir] = map[string]node{}
		}
		names[n.dir][n.text] = to
	}
	for _, e := range d.effects {
		if e.op.Begin > moment {
			break
		}
		f := fates[e]
		switch {
		case f.kind == lost:
			continue
		case e.file != none:
			bytes[e.file] = e.change(bytes[e.file], f)
			continue
		}
		if e.unlink != nil && f.kind != both {
			give(e.unlink, none)
		}
		if e.link != nil {
			give(e.link, e.link.to)
		}
	}
	img := image{}
	d.walk(img, names, bytes, root, "")
	return img
}

// walk adds all that can be reached from a directory.
func (d *disk) walk(img image, names map[node]map[string]node, bytes map[node][]byte, dir node, at string) {
	for text, to := range names[dir] {
		p := filepath.Join(at, text)
		switch {
		case to == none:
		case d.files[to]:
			img[p] = append([]byte{}, bytes[to]...)
		default:
			img[p] = nil
			d.walk(img, names, bytes, to, p)
		}
	}
}

// change is a file's bytes after a write or a cut with that fate.
func (e *effect) change(b []byte, f fate) []byte {
	grow := func(n int64) {
		if more := n - int64(len(b)); more > 0 {
			b = append(b, make([]byte, more)...)
		}
	}
	if e.op.Kind == Truncate {
		grow(e.op.Size)
		return b[:e.op.Size]
	}
	from, to := 0, len(e.op.Data)
	switch f.kind {
	case zeros:
		grow(e.op.Off + int64(to))
		return b
	case head:
		to = f.cut
	case tail:
		from = f.cut
	}
	grow(e.op.Off + int64(to))
	copy(b[e.op.Off+int64(from):], e.op.Data[from:to])
	return b
}

// sum tells images apart.
func (img image) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(img)) {
		size := uint64(len(img[p])) << 1
		if img[p] == nil {
			size = 1
		}
		h.Write(binary.BigEndian.AppendUint64(append([]byte(p), 0), size))
		h.Write(img[p])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// layOut makes the image's files in an empty directory.
func (img image) layOut(dir string) error {
	for _, p := range slices.Sorted(maps.Keys(img)) {
		to := filepath.Join(dir, p)
		var err error
		if img[p] == nil {
			err = os.Mkdir(to, 0o700)
		} else {
			err = os.WriteFile(to, img[p], 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package peer

import "sync"

// smallBuffer is the length in bytes of buffers for pieces that do not fill a large
// one: there may be a thousand such transfers. Large buffers save system calls, a
// quarter of all their time for pieces of MiB; what they hold together is bounded by
// the bytes in flight.
const smallBuffer = 64 << 10

// buffers lends copy buffers.
type buffers struct {
	most         int64     // length of the large ones
	small, large sync.Pool // of *[]byte
}

func (b *buffers) init(most int) {
	b.most = int64(most)
	b.small.New, b.large.New = newBuffer(min(most, smallBuffer)), newBuffer(most)
}

func newBuffer(n int) func() any {
	return func() any {
		buf := make([]byte, n)
		return &buf
	}
}

// take lends a buffer for a piece of size bytes, negative for unknown, and says whom it
// is given back to.
func (b *buffers) take(size int64) (buf *[]byte, giveBack *sync.Pool) {
	from := &b.small
	if size >= b.most {
		from = &b.large
	}
	return from.Get().(*[]byte), from
}

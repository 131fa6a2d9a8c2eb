package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"

	"github.com/recoverd/recoverd/recovery"
)

// contentDigest is the SHA-256 that names a state. It covers kind, base,
// network, epoch, position and the rows of every table in plain form: what two
// nodes must agree on. It covers neither ancestors and checksums nor how rows
// are cut into blocks and chunks, so that it outlives a version of the format.
//
// Hashing is half of the work of writing or proving a file, so a goroutine does
// it. It is given no bytes but the place of a block that lies in the file, and
// reads that for itself: memory that one processor fills and another one reads,
// by turns, can cost more than all the rest. stop ends it.
type contentDigest struct {
	tables [tableCount]struct {
		hash hash.Hash // the goroutine's, while there is one
		rows uint64
	}
	// spare is a piece of other work, for whoever waits for the goroutine; nil:
	// none. It reports whether there is more.
	spare func() bool
	work  chan hashJob  // nil before the first block, and after stop
	free  chan []byte   // lengths that are done with
	done  chan struct{} // closed when the goroutine has ended
	err   error         // the goroutine's until then
}

// hashJob is a block that was written, or read and found good.
type hashJob struct {
	from    io.ReaderAt
	d       damage
	table   Table
	block   block
	lengths []byte // of its rows, in bytes; the goroutine's from now on
}

const digestDomain = "recoverd catalog state 1\n"

const (
	// digestAhead is how many blocks may wait to be hashed.
	digestAhead = 16
	// digestBatch is how many bytes of rows are hashed at once.
	digestBatch = 32 << 10
)

func newContentDigest() *contentDigest {
	c := &contentDigest{}
	for i := range c.tables {
		c.tables[i].hash = sha256.New()
	}
	return c
}

// add hands a block over, in the order of its table.
func (c *contentDigest) add(j hashJob) {
	c.tables[j.table-1].rows += uint64(j.block.rows)
	if c.work == nil {
		c.work, c.free, c.done = make(chan hashJob, digestAhead), make(chan []byte, digestAhead), make(chan struct{})
		go c.run(c.work)
	}
	for c.spare != nil {
		select {
		case c.work <- j:
			return
		default:
		}
		if !c.spare() {
			c.spare = nil
		}
	}
	c.work <- j
}

// lengths returns memory for those of another block.
func (c *contentDigest) lengths() []byte {
	select {
	case l := <-c.free:
		return l
	default:
		return nil
	}
}

func (c *contentDigest) run(work <-chan hashJob) {
	defer close(c.done)
	raw, plain := make([]byte, blockMax), make([]byte, 0, digestBatch+2*maxRow)
	for j := range work {
		if c.err == nil {
			c.err = c.hash(j, raw[:j.block.length], plain)
		}
		select {
		case c.free <- j.lengths[:0]:
		default:
		}
	}
}

// hash reads a block and hashes its rows, in batches that are made in plain.
func (c *contentDigest) hash(j hashJob, raw, plain []byte) error {
	if err := readFull(j.from, raw, j.block.offset); err != nil {
		return j.d.read(j.block.offset, "table "+j.table.String(), err)
	}
	body := raw[:len(raw)-crcLength]
	e := expander{pairs: j.table == Registrations || j.table == PooledRegistrations}
	if crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(raw[len(body):]) ||
		!e.hash(c.tables[j.table-1].hash, body[blockHeader:], j.lengths, plain) {
		return j.d.at(j.block.offset, "a block of %v changed after it was written or read", j.table)
	}
	return nil
}

// stop ends the goroutine and returns its error.
func (c *contentDigest) stop() error {
	if c.work != nil {
		close(c.work)
		<-c.done
		c.work = nil
	}
	return c.err
}

// counts returns the rows of all blocks.
func (c *contentDigest) counts() (n Counts) {
	for i := range c.tables {
		*n.of(Table(i + 1)) = c.tables[i].rows
	}
	return n
}

// sum ends the digest of a snapshot with that header.
func (c *contentDigest) sum(h Header) (recovery.Digest, error) {
	if err := c.stop(); err != nil {
		return recovery.Digest{}, err
	}
	var tables [tableCount]TableSum
	for i := range c.tables {
		tables[i] = TableSum{Rows: c.tables[i].rows, Digest: [32]byte(c.tables[i].hash.Sum(nil))}
	}
	return digestOf(h, tables), nil
}

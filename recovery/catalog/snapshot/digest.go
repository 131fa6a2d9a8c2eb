package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/recoverd/recoverd/recovery"
)

// contentDigest is the SHA-256 that names a state. It covers kind, base,
// network, epoch, position and the rows of every table in plain form: what two
// nodes must agree on. It covers neither ancestors and checksums nor how rows
// are cut into blocks and chunks, so that it outlives a version of the format.
//
// Hashing is a large part of the work of writing or proving a file, so a
// goroutine does it, batch by batch, while the next rows are made. sum or stop
// ends it.
type contentDigest struct {
	tables [tableCount]tableDigest
	work   chan hashJob  // nil until the first batch is full
	free   chan []byte   // memory of batches that were hashed
	done   chan struct{} // closed when the goroutine has ended
	made   int           // batches made so far
}

// tableDigest is the part of one table. Tables may be filled by turns.
type tableDigest struct {
	hash  hash.Hash // the goroutine's, while there is one
	rows  uint64
	plain []byte // rows not handed over yet
}

// hashJob is a batch of rows in plain form.
type hashJob struct {
	hash  hash.Hash
	plain []byte
}

const digestDomain = "recoverd catalog state 1\n"

const (
	// digestBatch is how many bytes of rows are hashed at once.
	digestBatch = 64 << 10
	// digestAhead is how many batches may wait to be hashed.
	digestAhead = 2
	// digestMemory is how many batches there are beside those that each table
	// begins with: one for each to fill, and one being hashed.
	digestMemory = tableCount + digestAhead + 1
)

func newContentDigest() *contentDigest {
	c := &contentDigest{}
	for i := range c.tables {
		c.tables[i].hash = sha256.New()
	}
	return c
}

// addRaw takes a row as it stands in a block, which may share a part of its key
// with the row before it.
func (c *contentDigest) addRaw(t Table, key, raw []byte) {
	d := c.begin(t)
	if t != Blobs && t != Pools && raw[1]&rowNative != 0 {
		key = key[:32]
	}
	shared := min(len(key), int(raw[0]))
	if shared <= 8 { // of random ids; the rest is one copy
		d.plain = append(d.plain, 0, raw[1])
		d.plain = binary.BigEndian.AppendUint64(d.plain, binary.BigEndian.Uint64(key))
		d.plain = append(d.plain, raw[2+8-shared:]...)
		return
	}
	d.plain = append(d.plain, 0, raw[1])
	d.plain = append(d.plain, key[:shared]...)
	d.plain = append(d.plain, raw[2:]...)
}

// begin makes room for the next row of t, in key order, which the caller
// appends in plain form.
func (c *contentDigest) begin(t Table) *tableDigest {
	d := &c.tables[t-1]
	if len(d.plain) >= digestBatch {
		c.handOver(d)
	}
	d.rows++
	return d
}

// handOver gives a full batch to the goroutine, and waits for the one before the
// last if that is not hashed yet.
func (c *contentDigest) handOver(d *tableDigest) {
	if c.work == nil {
		c.work, c.free = make(chan hashJob, digestAhead), make(chan []byte, tableCount+digestMemory)
		c.done = make(chan struct{})
		go func() {
			defer close(c.done)
			for job := range c.work {
				job.hash.Write(job.plain)
				c.free <- job.plain[:0] // there is room for all
			}
		}()
	}
	c.work <- hashJob{d.hash, d.plain}
	if c.made < digestMemory {
		c.made++
		d.plain = make([]byte, 0, digestBatch+maxRow)
		return
	}
	d.plain = <-c.free
}

// stop ends the goroutine. Nothing may be added afterwards.
func (c *contentDigest) stop() {
	if c.work != nil {
		close(c.work)
		<-c.done
		c.work = nil
	}
}

// counts returns the rows that were added.
func (c *contentDigest) counts() (n Counts) {
	for i := range c.tables {
		*n.of(Table(i + 1)) = c.tables[i].rows
	}
	return n
}

// sum ends the digest of a snapshot with that header.
func (c *contentDigest) sum(h Header) recovery.Digest {
	c.stop()
	b := append([]byte(digestDomain), byte(h.Kind()))
	b = h.appendBase(b)
	b = append(b, byte(len(h.Network)))
	b = append(b, h.Network...)
	b = binary.BigEndian.AppendUint32(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.Position)
	for i := range c.tables {
		d := &c.tables[i]
		d.hash.Write(d.plain)
		d.plain = nil
		b = binary.BigEndian.AppendUint64(b, d.rows)
		b = d.hash.Sum(b)
	}
	return sha256.Sum256(b)
}

package snapshot

import (
	"crypto/sha256"
	"hash"

	"github.com/recoverd/recoverd/recovery"
)

// contentDigest is the SHA-256 that names a state. It covers kind, base,
// network, epoch, position and the rows of every table in plain form: what two
// nodes must agree on. It covers neither ancestors and checksums nor how rows
// are cut into blocks, so that it outlives a version of the format.
type contentDigest struct {
	tables [tableCount]hash.Hash
	counts Counts
	plain  []byte // rows of one table not hashed yet
	table  Table  // the table they are of
}

const digestDomain = "recoverd catalog state 1\n"

// digestBatch is how many bytes of rows are hashed at once.
const digestBatch = 32 << 10

func newContentDigest() *contentDigest {
	c := &contentDigest{plain: make([]byte, 0, digestBatch+maxRow), table: Blobs}
	for i := range c.tables {
		c.tables[i] = sha256.New()
	}
	return c
}

// add takes a row of t, in the order of tables and keys, and returns its plain
// form, which is valid until the next call.
func add[R any, P Row[R]](c *contentDigest, t Table, row P) []byte {
	start := c.begin(t)
	c.plain = row.AppendPlain(c.plain)
	return c.plain[start:]
}

// addDrop is add for a dropped key.
func (c *contentDigest) addDrop(t Table, key []byte) []byte {
	start := c.begin(t)
	c.plain = appendDrop(c.plain, key)
	return c.plain[start:]
}

// begin makes room for a row of t and returns where it begins.
func (c *contentDigest) begin(t Table) int {
	if t != c.table || len(c.plain) >= digestBatch {
		c.flush()
		c.table = t
	}
	*c.counts.of(t)++
	return len(c.plain)
}

func (c *contentDigest) flush() {
	c.tables[c.table-1].Write(c.plain)
	c.plain = c.plain[:0]
}

// sum ends the digest of a snapshot with that header.
func (c *contentDigest) sum(h Header) recovery.Digest {
	c.flush()
	var tables [tableCount]TableSum
	for t := Blobs; t <= Pools; t++ {
		tables[t-1] = TableSum{Rows: *c.counts.of(t), Digest: [32]byte(c.tables[t-1].Sum(nil))}
	}
	return digestOf(h, tables)
}

package postgres

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// The marks by which this package knows its own tables: comments, made in the
// transaction that makes the table.
const (
	layoutMark     = "recoverd catalog, layout 1"
	generationMark = "recoverd catalog, generation "
)

const tableCount = 4

// table is one of the four tables of a state.
type table struct {
	kind    snapshot.Table
	columns string // with their types, in the order in which tuples hold them
	names   string // of the columns, in that order
	key     string // the columns of the primary key
}

// Columns of fixed size come first: they pack better. NULL stands for what most
// rows have not: an end, a certification, a digest that is not the id, a gained
// position. An empty digest is one that nobody knows.
func tableOf(t snapshot.Table) table {
	return [tableCount]table{
		{
			snapshot.Blobs, "size bigint, invalidated bigint, encoding smallint NOT NULL, id bytea NOT NULL, digest bytea",
			"size, invalidated, encoding, id, digest", "id",
		},
		{
			snapshot.Registrations, "registered_epoch bigint NOT NULL, certified_epoch bigint, end_epoch bigint, gained bigint, " +
				"deletable boolean NOT NULL, deleted boolean NOT NULL, blob bytea NOT NULL, object bytea NOT NULL",
			"registered_epoch, certified_epoch, end_epoch, gained, deletable, deleted, blob, object", "blob, object",
		},
		{
			snapshot.PooledRegistrations, "registered_epoch bigint NOT NULL, certified_epoch bigint, gained bigint, " +
				"blob bytea NOT NULL, object bytea NOT NULL, pool bytea NOT NULL",
			"registered_epoch, certified_epoch, gained, blob, object, pool", "blob, object",
		},
		{
			snapshot.Pools, "start_epoch bigint NOT NULL, end_epoch bigint, gained bigint, id bytea NOT NULL",
			"start_epoch, end_epoch, gained, id", "id",
		},
	}[t-1]
}

// generation numbers a restored state, or one under way, within a schema. Numbers
// rise and are never used again.
type generation int32

// schema makes the names of what lies in a schema.
type schema string

func (s schema) quoted() string          { return pgx.Identifier{string(s)}.Sanitize() }
func (s schema) name(name string) string { return pgx.Identifier{string(s), name}.Sanitize() }
func (s schema) generations() string     { return s.name(generationsName) }

// table is a table of a state; spool is where its rows wait, unlogged, until
// they are put into it.
func (s schema) table(t snapshot.Table, g generation) string { return s.name(tableName(t, g)) }
func (s schema) spool(t snapshot.Table, g generation) string {
	return s.name(tableName(t, g) + spoolSuffix)
}

const (
	generationsName = "generations"
	spoolSuffix     = "_spool"
)

func tableName(t snapshot.Table, g generation) string { return fmt.Sprintf("%v_%d", t, g) }

// ownTable reads a name that tableName made, with or without the suffix of a
// spool. It is the allow-list: nothing of another name is ever dropped (hazard 60).
func ownTable(name string) (g generation, ok bool) {
	m := regexp.MustCompile(`^(?:blobs|registrations|pooled|pools)_([1-9][0-9]{0,9})(?:_spool)?$`).FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 32)
	return generation(n), err == nil
}

func (g generation) mark() string { return generationMark + strconv.Itoa(int(g)) }

// Advisory locks are pairs: one number for the schema, one for what is locked in
// it: the restore, or a generation, which whoever reads it shares.
const restoreLock = 0

func (s schema) lockClass() int32 {
	h := fnv.New32a()
	h.Write([]byte("recoverd catalog " + string(s)))
	return int32(h.Sum32())
}

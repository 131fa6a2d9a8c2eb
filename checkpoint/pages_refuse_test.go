package checkpoint

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery/boltfile"
)

// Each rule of scanPages, broken on its own in a database that is whole otherwise.
func TestScanRefuses(t *testing.T) {
	db := newLife(t, 4, 40, 300).files[databaseName]
	u16, u32, u64 := binary.NativeEndian.PutUint16, binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	get := binary.NativeEndian.Uint64
	at := func(b []byte, id uint64) []byte { return b[id*boltfile.PageSize:] }
	root := func(b []byte) []byte { return at(b, get(newestMetaOf(b)[16:])) }
	free := func(b []byte) []byte { return at(b, get(newestMetaOf(b)[32:])) }
	// The root leaf's only element begins right after the header; its value, the
	// bucket's page and sequence, follows the key.
	bucket := func(b []byte) []byte { return root(b)[pageHeader+leafElement+len(bucketName):] }
	child := func(b []byte) []byte { return at(b, get(bucket(b))) }
	if get(bucket(db)) == 0 || countOf(free(db)) < 3 || binary.NativeEndian.Uint32(child(db)[12:]) == 0 {
		t.Fatal("the database is too small for this test")
	}

	for name, c := range map[string]struct {
		spoil func(b []byte)
		want  string
	}{
		"meta pages too far apart":  {func(b []byte) { m := newestMetaOf(b); u64(m[48:], get(m[48:])+2) }, "of transactions"},
		"meta page in the wrong":    {func(b []byte) { m := newestMetaOf(b); u64(m[48:], get(m[48:])+1) }, "of transaction"},
		"other page size":           {func(b []byte) { u32(b[pageHeader+8:], 8192) }, "8192 bytes long"},
		"meta page with flags":      {func(b []byte) { u32(b[pageHeader+12:], 1) }, "has flags or a sequence"},
		"meta page with a sequence": {func(b []byte) { u64(newestMetaOf(b)[24:], 7) }, "has flags or a sequence"},
		"not a meta page":           {func(b []byte) { u16(b[8:], flagLeaf) }, "not a meta page"},
		"more pages than there are": {func(b []byte) { u64(newestMetaOf(b)[40:], 1<<40) }, "but the file has"},
		"root outside":              {func(b []byte) { u64(newestMetaOf(b)[16:], 1<<50) }, "is outside"},
		"root is a meta page":       {func(b []byte) { u64(newestMetaOf(b)[16:], 1) }, "is outside"},
		"root is the freelist":      {func(b []byte) { m := newestMetaOf(b); u64(m[16:], get(m[32:])) }, "has flags"},
		"freelist is the root":      {func(b []byte) { m := newestMetaOf(b); u64(m[32:], get(m[16:])) }, "has flags"},
		"freelist not kept":         {func(b []byte) { u64(newestMetaOf(b)[32:], 1<<64-1) }, "is outside"},
		"page calls itself another": {func(b []byte) { u64(root(b), 77) }, "calls itself 77"},
		"a branch":                  {func(b []byte) { u16(root(b)[8:], 1) }, "is not where it belongs"},
		"overflow beyond the end":   {func(b []byte) { u32(root(b)[12:], 1<<31) }, "go beyond"},
		"overflow over others":      {func(b []byte) { u32(root(b)[12:], 1) }, "page"},
		"overflow cut":              {func(b []byte) { u32(child(b)[12:], 0) }, "is not where it belongs"},
		"two buckets":               {func(b []byte) { u16(root(b)[10:], 2) }, "is not where it belongs"},
		"another bucket":            {func(b []byte) { root(b)[pageHeader+leafElement] ^= 1 }, `key 0 is "head" in "bheckpoint"`},
		"a key in its place":        {func(b []byte) { u32(root(b)[pageHeader:], 0) }, "has flags 0x0"},
		"bucket with a sequence":    {func(b []byte) { bucket(b)[8] = 1 }, "has a sequence"},
		"bucket on the root's page": {func(b []byte) { u64(bucket(b), get(newestMetaOf(b)[16:])) }, "is used twice"},
		"element before the table":  {func(b []byte) { u32(child(b)[pageHeader+4:], 0) }, "is not where it belongs"},
		"element beyond the page":   {func(b []byte) { u32(child(b)[pageHeader+4:], 1<<31) }, "is not where it belongs"},
		"key beyond the page":       {func(b []byte) { u32(child(b)[pageHeader+8:], 1<<32-1) }, "is not where it belongs"},
		"value beyond the page":     {func(b []byte) { u32(child(b)[pageHeader+12:], 1<<32-1) }, "is not where it belongs"},
		"key of no length":          {func(b []byte) { u32(child(b)[pageHeader+8:], 0) }, "is not where it belongs"},
		"another key":               {func(b []byte) { child(b)[pageHeader+2*leafElement] ^= 1 }, `key 0 is "iead"`},
		"older page in its place":   {func(b []byte) { child(b)[pageHeader+2*leafElement+len(headKey)+7]-- }, "not of transaction"},
		"more free pages than fit":  {func(b []byte) { u16(free(b)[10:], 0xFFFE) }, "do not fit"},
		"free page is in use":       {func(b []byte) { replaceFree(free(b), get(newestMetaOf(b)[16:])) }, "is used twice"},
		"free page outside":         {func(b []byte) { u64(free(b)[pageHeader+8*2:], 1<<40) }, "free page"},
		"free pages out of order":   {func(b []byte) { copy(free(b)[pageHeader+8:], free(b)[pageHeader:pageHeader+8]) }, "free page"},
		"a page that nobody knows":  {func(b []byte) { u16(free(b)[10:], countOf(free(b))-1) }, "neither used nor free"},
	} {
		b := slices.Clone(db)
		c.spoil(b)
		sealMetas(b)
		head, list, err := scanPages(bytes.NewReader(b), int64(len(b)))
		if !isDamage(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if head != nil || list != nil {
			t.Errorf("%s: values were returned with the damage", name)
		}
	}
}

// replaceFree puts id into a freelist in the place where it keeps the order.
func replaceFree(page []byte, id uint64) {
	n := uint64(countOf(page))
	for i := range n {
		at := page[pageHeader+8*i:]
		if binary.NativeEndian.Uint64(at) > id || i == n-1 {
			binary.NativeEndian.PutUint64(at, id)
			return
		}
	}
}

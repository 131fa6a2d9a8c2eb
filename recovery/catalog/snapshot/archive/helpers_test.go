package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var errTest = errors.New("made up")

// digestOf makes up a state's digest.
func digestOf(kind snapshot.Kind, base, position uint64, variant string) recovery.Digest {
	return sha256.Sum256(fmt.Appendf(nil, "%v %d %d %s", kind, base, position, variant))
}

// full makes up a complete full snapshot; variants have digests of their own.
func full(position uint64, variant ...string) Entry {
	d := digestOf(snapshot.Full, 0, position, strings.Join(variant, ""))
	return Entry{
		Name:   Name{Kind: snapshot.Full, Position: position, Digest: ShortOf(d)},
		Status: Complete, Size: 1000,
		Bound: recovery.Bound{Stamp: recovery.Stamp{Network: "test", Position: position}, Digest: d},
	}
}

// incr makes up a complete incremental over base.
func incr(base Entry, position uint64, variant ...string) Entry {
	d := digestOf(snapshot.Incremental, base.Position, position, base.Digest.String()+strings.Join(variant, ""))
	return Entry{
		Name:   Name{Kind: snapshot.Incremental, Base: base.Position, Position: position, Digest: ShortOf(d)},
		Status: Complete, Size: 100, BaseDigest: base.Bound.Digest,
		Bound: recovery.Bound{Stamp: recovery.Stamp{Network: "test", Position: position}, Digest: d},
	}
}

// as changes what a list says of an entry.
func as(status Status, e Entry) Entry {
	e.Status, e.Err, e.Bound, e.BaseDigest = status, errTest, recovery.Bound{}, recovery.Digest{}
	return e
}

// in puts an entry into a number of files.
func in(chunks int, e Entry) Entry {
	e.Chunks = chunks
	return e
}

// names lists entries, for comparing and for messages: full-5, incr-5-7.
func names(all []Entry) string {
	var texts []string
	for _, e := range all {
		text := strings.TrimSuffix(e.Name.String(), "-"+e.Digest.String())
		if e.Chunks > 0 {
			text += fmt.Sprintf("/%d", e.Chunks)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// anyList draws a list with few positions, so that everything that can happen
// to neighbours happens.
func anyList(t *rapid.T) []Entry {
	var list []Entry
	add := func(e Entry) {
		if rapid.IntRange(0, 5).Draw(t, "not whole") == 0 {
			e = as(rapid.SampledFrom([]Status{Incomplete, Damaged, Unreadable}).Draw(t, "status"), e)
		}
		if rapid.IntRange(0, 5).Draw(t, "chunked") == 0 {
			e.Chunks = rapid.IntRange(2, 3).Draw(t, "chunks")
		}
		if !slices.ContainsFunc(list, func(o Entry) bool { return same(o, e) }) {
			list = append(list, e)
		}
	}
	variant := func() string { return rapid.SampledFrom([]string{"", "", "", "", "other"}).Draw(t, "variant") }
	for range rapid.IntRange(0, 5).Draw(t, "fulls") {
		base := full(rapid.Uint64Range(1, 8).Draw(t, "position"), variant())
		if rapid.IntRange(0, 9).Draw(t, "there") > 0 {
			add(base)
		}
		for range rapid.IntRange(0, 3).Draw(t, "increments") {
			add(incr(base, base.Position+rapid.Uint64Range(1, 4).Draw(t, "further"), variant()))
		}
	}
	return rapid.Permutation(list).Draw(t, "order")
}

func anyLog(t *rapid.T) Range {
	first := rapid.Uint64Range(0, 10).Draw(t, "first")
	return Range{first, first + rapid.Uint64Range(0, 6).Draw(t, "events") - 1}
}

// check is errors.As that fails the test.
func check[E error](t testing.TB, err error) (e E) {
	t.Helper()
	if !errors.As(err, &e) {
		t.Fatalf("error %T %v, want a %T", err, err, e)
	}
	return e
}

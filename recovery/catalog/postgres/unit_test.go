package postgres

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// columnsOf takes a tuple of COPY apart.
func columnsOf(t testing.TB, tuple []byte) (raw [][]byte) {
	t.Helper()
	n := int(tuple[0])<<8 | int(tuple[1])
	rest := tuple[2:]
	for range n {
		length := int32(uint32(rest[0])<<24 | uint32(rest[1])<<16 | uint32(rest[2])<<8 | uint32(rest[3]))
		if rest = rest[4:]; length < 0 {
			raw = append(raw, nil)
			continue
		}
		raw, rest = append(raw, rest[:length:length]), rest[length:]
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes follow a tuple", len(rest))
	}
	return raw
}

func roundTrip[R any](t *testing.T, rows []R, c codec[R]) {
	t.Helper()
	for i := range rows {
		tuple := c.encode(nil, &rows[i])
		if len(tuple) > maxTuple {
			t.Fatalf("a tuple of %d bytes", len(tuple))
		}
		var got R
		if err := c.row(columnsOf(t, tuple), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows[i], got); diff != "" {
			t.Fatalf("a row came back as another (-want +got):\n%s", diff)
		}
	}
}

func TestRowsRoundTrip(t *testing.T) {
	s := catalogtest.RandomTables(1, 500)
	roundTrip(t, s.BlobRows, blobCodec())
	roundTrip(t, s.OwnRows, registrationCodec())
	roundTrip(t, s.PooledRows, pooledCodec())
	roundTrip(t, s.PoolRows, poolCodec())
}

// FuzzColumns: what a database returns of a row is a row that encodes to the same
// again, or an error.
func FuzzColumns(f *testing.F) {
	s := catalogtest.RandomTables(1, 5)
	b, r, p, q := blobCodec(), registrationCodec(), pooledCodec(), poolCodec()
	f.Add(uint8(0), b.encode(nil, &s.BlobRows[0]))
	f.Add(uint8(1), r.encode(nil, &s.OwnRows[0]))
	f.Add(uint8(2), p.encode(nil, &s.PooledRows[0]))
	f.Add(uint8(3), q.encode(nil, &s.PoolRows[0]))
	f.Fuzz(func(t *testing.T, kind uint8, tuple []byte) {
		raw, ok := split(tuple)
		if !ok {
			return
		}
		switch kind % tableCount {
		case 0:
			again(t, raw, b)
		case 1:
			again(t, raw, r)
		case 2:
			again(t, raw, p)
		case 3:
			again(t, raw, q)
		}
	})
}

// split cuts any bytes into columns, or says that they cannot be.
func split(tuple []byte) (raw [][]byte, ok bool) {
	if len(tuple) < 2 || tuple[0] != 0 || tuple[1] > 20 {
		return nil, false
	}
	rest := tuple[2:]
	for range tuple[1] {
		if len(rest) < 4 {
			return nil, false
		}
		null, length := rest[0] == 0xff, int(rest[3])
		if rest = rest[4:]; null {
			raw = append(raw, nil)
			continue
		}
		if length > len(rest) {
			return nil, false
		}
		raw, rest = append(raw, rest[:length:length]), rest[length:]
	}
	return raw, len(rest) == 0
}

func again[R any](t *testing.T, raw [][]byte, c codec[R]) {
	var row R
	if c.row(raw, &row) != nil {
		return
	}
	var second R
	if err := c.row(columnsOf(t, c.encode(nil, &row)), &second); err != nil {
		t.Fatalf("%+v: %v", row, err)
	}
	if diff := cmp.Diff(row, second); diff != "" {
		t.Fatalf("read again (-first +second):\n%s", diff)
	}
}

func TestColumnsRefused(t *testing.T) {
	s := catalogtest.RandomTables(1, 50)
	c := registrationCodec()
	good := func() [][]byte { return columnsOf(t, c.encode(nil, &s.OwnRows[0])) }
	for name, change := range map[string]func(raw [][]byte) [][]byte{
		"one more":    func(raw [][]byte) [][]byte { return append(raw, nil) },
		"one less":    func(raw [][]byte) [][]byte { return raw[:7] },
		"null id":     func(raw [][]byte) [][]byte { raw[6] = nil; return raw },
		"short id":    func(raw [][]byte) [][]byte { raw[7] = raw[7][1:]; return raw },
		"epoch":       func(raw [][]byte) [][]byte { raw[0] = []byte{0, 0, 0, 1, 0, 0, 0, 0}; return raw },
		"negative":    func(raw [][]byte) [][]byte { raw[3] = bytes.Repeat([]byte{0xff}, 8); return raw },
		"zero gained": func(raw [][]byte) [][]byte { raw[3] = make([]byte, 8); return raw },
		"null bool":   func(raw [][]byte) [][]byte { raw[4] = nil; return raw },
		"wide number": func(raw [][]byte) [][]byte { raw[0] = raw[0][:4]; return raw },
	} {
		var row snapshot.Registration
		if err := c.row(change(good()), &row); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var row snapshot.Registration
	if err := c.row(good(), &row); err != nil {
		t.Error(err)
	}
}

// numbered yields tuples of given lengths.
func numbered(lengths []int) (all []byte, next func(dst []byte) ([]byte, error)) {
	n := 0
	for i, l := range lengths {
		all = append(all, bytes.Repeat([]byte{byte(i)}, l)...)
	}
	return all, func(dst []byte) ([]byte, error) {
		if n == len(lengths) {
			return dst, io.EOF
		}
		n++
		return append(dst, bytes.Repeat([]byte{byte(n - 1)}, lengths[n-1])...), nil
	}
}

// A stream is the tuples between header and trailer, however it is read; through
// a spool they are the same tuples, whole ones in each run.
func TestStream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, count := range []int{0, 1, 2, 50, 500} {
		lengths := make([]int, count)
		for i := range lengths {
			lengths[i] = 1 + random.IntN(maxTuple)
		}
		all, next := numbered(lengths)
		want := copyHeader + string(all) + copyTrailer
		s := newStream(next)
		if err := iotest.TestReader(s, []byte(want)); err != nil {
			t.Errorf("%d tuples: %v", count, err)
		}
		if err := s.stop(); err != nil {
			t.Errorf("%d tuples: %v", count, err)
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, errStopped) {
			t.Errorf("read after stop: %v", err)
		}
		_, next = numbered(lengths)
		through, runs := []byte(nil), spooled(next)
		for {
			run, err := runs(nil)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			raw := columnsOf(t, run)
			if len(raw) != 1 || len(raw[0]) == 0 || len(raw[0]) > spoolRoom {
				t.Fatalf("a run of %d columns", len(raw))
			}
			through = append(through, raw[0]...)
		}
		if !bytes.Equal(all, through) {
			t.Errorf("%d tuples: others came through the spool", count)
		}
	}
}

// A stream that breaks ends with the error that broke it, through a spool too.
func TestStreamBreaks(t *testing.T) {
	for name, wrap := range map[string]func(func([]byte) ([]byte, error)) func([]byte) ([]byte, error){
		"plain": func(f func([]byte) ([]byte, error)) func([]byte) ([]byte, error) { return f }, "spooled": spooled,
	} {
		n := 0
		s := newStream(wrap(func(dst []byte) ([]byte, error) {
			if n++; n > 300 {
				return dst, errTest
			}
			return append(dst, make([]byte, 100)...), nil
		}))
		if _, err := io.Copy(io.Discard, s); !errors.Is(err, errTest) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.stop(); !errors.Is(err, errTest) {
			t.Errorf("%s: stopped: %v", name, err)
		}
	}
}

func TestOwnTable(t *testing.T) {
	for k := snapshot.Blobs; k <= snapshot.Pools; k++ {
		for _, suffix := range []string{"", spoolSuffix} {
			if g, ok := ownTable(tableName(k, 41) + suffix); !ok || g != 41 {
				t.Errorf("%v: generation %d, %v", k, g, ok)
			}
		}
	}
	for _, name := range []string{
		"generations", "blobs", "blobs_", "blobs_0", "blobs_01", "blobs_1x", "xblobs_1", "blobs_1_spool_2", "blobs_-1", "users_1",
		"blobs_9999999999", "blobs_2147483648", "Blobs_1", "blobs_1\n",
	} {
		if g, ok := ownTable(name); ok {
			t.Errorf("%q is taken for generation %d", name, g)
		}
	}
}

// A connection string is read or refused, the same for one connection and a pool, and
// nothing of it is in the error.
func FuzzDSN(f *testing.F) {
	for _, text := range []string{"postgres://u:secret@h:5432/d", "host=h user=u password=secret dbname=d", "postgres://u:sec ret@h/d?sslmode=never", "host=h port=x", "", "postgres://[::1/d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		if strings.Contains(dsn, "sslmode") || strings.Contains(dsn, "ssl") || strings.Contains(dsn, "file") || strings.Contains(dsn, "service") {
			return // reads files that it names
		}
		c, err := parse(dsn)
		if err != nil && (!errors.Is(err, ErrDSN) || err.Error() != badDSN().Error()) {
			t.Fatalf("%v", err)
		}
		if err == nil && (c.ConnectTimeout <= 0 || c.RuntimeParams["application_name"] == "") {
			t.Fatalf("%q has no limit of time, or no name", dsn)
		}
		if _, err := parsePool(dsn); err != nil && err.Error() != badDSN().Error() {
			t.Fatalf("%v", err)
		}
	})
}

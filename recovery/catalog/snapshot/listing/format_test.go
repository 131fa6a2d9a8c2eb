package listing_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
)

const unknown = recovery.SizeUnknown

// TestFormats reads the same blobs from every form of text.
func TestFormats(t *testing.T) {
	a, b, c := id(1), id(2), id(3)
	sum := func(rows ...recovery.Row) []recovery.Row { return rows }
	for name, tc := range map[string]struct {
		text   string
		format listing.Format
		want   []recovery.Row
	}{
		"ids":              {fmt.Sprintf("%v\n%v\n", a, b), listing.IDs, sum(raw(a, unknown), raw(b, unknown))},
		"ids, cut":         {fmt.Sprintf("%v\n%v", a, b), listing.IDs, sum(raw(a, unknown), raw(b, unknown))},
		"ids with sizes":   {fmt.Sprintf("%v 10\n%v\t20\n%v \t 0\n", a, b, c), listing.IDs, sum(raw(a, 10), raw(b, 20), raw(c, 0))},
		"some sizes":       {fmt.Sprintf("%v 10\n%v\n", a, b), listing.IDs, sum(raw(a, 10), raw(b, unknown))},
		"two blanks":       {fmt.Sprintf("%v  10\n%v\n", a, b), listing.IDs, sum(raw(a, 10), raw(b, unknown))},
		"upper case":       {strings.ToUpper(a.String()) + "\n", listing.IDs, sum(raw(a, unknown))},
		"base64url":        {a.Base64URL() + "\n" + b.String() + "\n" + c.Base64URL() + " 7\n", listing.IDs, sum(raw(a, unknown), raw(b, unknown), raw(c, 7))},
		"largest size":     {a.String() + " 9223372036854775807\n", listing.IDs, sum(raw(a, 1<<63-1))},
		"text mode":        {fmt.Sprintf("%v  a file\n%v  10\n", a, b), listing.SHA256Sum, sum(raw(a, unknown), raw(b, unknown))},
		"binary mode":      {fmt.Sprintf("%v *10\n%v *dir/x\n", a, b), listing.SHA256Sum, sum(raw(a, unknown), raw(b, unknown))},
		"both modes":       {fmt.Sprintf("%v *x\n%v  y", a, b), listing.SHA256Sum, sum(raw(a, unknown), raw(b, unknown))},
		"escaped name":     {fmt.Sprintf("\\%v  a\\nb\\\\c\\rd\n%v *x\\y\n", a, b), listing.SHA256Sum, sum(raw(a, unknown), raw(b, unknown))},
		"name of one file": {fmt.Sprintf("%v  1\n%v  1 \n", a, a), listing.SHA256Sum, sum(raw(a, unknown))},
		"copies":           {fmt.Sprintf("%v  1\n%v  2\n%v *z\n", a, a, a), listing.SHA256Sum, sum(raw(a, unknown))},
		"standard input":   {fmt.Sprintf("%v  -\n", a), listing.SHA256Sum, sum(raw(a, unknown))},
		"oci":              {fmt.Sprintf("sha256:%v\nsha256:%v 20\n", a, b), listing.OCI, sum(raw(a, unknown), raw(b, 20))},
		"json":             {fmt.Sprintf(`{"id":"%v"}`, a), listing.NDJSON, sum(raw(a, unknown))},
		"json with blanks": {fmt.Sprintf("\t{ \"size\" : 10 ,\"id\":\"%v\" } \r\n", a.Base64URL()), listing.NDJSON, sum(raw(a, 10))},
		"json with nulls":  {fmt.Sprintf(`{"id":"%v","size":null,"end_epoch":null,"certified_epoch":null,"position":null,"encoding":null}`, a), listing.NDJSON, sum(raw(a, unknown))},
	} {
		t.Run(name, func(t *testing.T) {
			r, result, err := importList(t, tc.text, listing.Config{})
			if err != nil {
				t.Fatal(err)
			}
			got := rowsOf(t, r)
			if diff := cmp.Diff(byID(tc.want), got); diff != "" || result.Format != tc.format {
				t.Errorf("read as %v (-want +got):\n%s", result.Format, diff)
			}
			if result.Lines != result.Added+result.Repeated || result.Added != uint64(len(got)) {
				t.Errorf("result %+v", result)
			}
			forced, _, err := importList(t, tc.text, listing.Config{Format: tc.format})
			if err != nil || forced.Bound() != r.Bound() {
				t.Errorf("with the format given: error %v", err)
			}
		})
	}
}

// TestJSONFields reads every key.
func TestJSONFields(t *testing.T) {
	a, b, c, d := id(1), id(2), id(3), id(4)
	text := fmt.Sprintf(`{"id":"%v","size":5,"certified_epoch":3,"end_epoch":9,"position":12,"encoding":"raw"}
{"id":"%v","position":7,"encoding":"walrus"}
{"id":"%v","position":11,"encoding":"striped","size":8,"digest":"%v"}
{"id":"%v","position":2,"digest":null}
`, a, b, c, d, d)
	r := mustImport(t, text, listing.Config{Network: "net"})
	row := func(b recovery.BlobID, size int64, e recovery.Encoding, digest [32]byte, certified, end uint32, gained uint64) recovery.Row {
		return recovery.Row{Blob: recovery.Blob{ID: b, Size: size, Encoding: e, Digest: digest}, CertifiedEpoch: certified, EndEpoch: end, Gained: gained}
	}
	want := byID([]recovery.Row{
		row(a, 5, recovery.Raw, a, 3, 9, 12), row(b, unknown, recovery.Walrus, [32]byte{}, 1, recovery.EpochForever, 7),
		row(c, 8, recovery.Striped, d, 1, recovery.EpochForever, 11), row(d, unknown, recovery.Raw, [32]byte{}, 1, recovery.EpochForever, 2),
	})
	if diff := cmp.Diff(want, rowsOf(t, r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if h := r.Header(); h.Network != "net" || h.Epoch != 3 || h.Position != 12 {
		t.Errorf("header %+v", h)
	}
}

// What is no list, or two, or changes, is refused, with the line where one is at
// fault.
func TestRefused(t *testing.T) {
	a, b := id(1), id(2)
	hex, other := a.String(), b.String()
	for name, tc := range map[string]struct {
		text string
		line uint64
		what string
	}{
		"empty":                       {"", 0, "empty"},
		"an empty line":               {"\n", 1, "empty"},
		"an empty line at the end":    {hex + "\n\n", 2, "empty"},
		"an empty line inside":        {hex + "\n\n" + other + "\n", 2, "empty"},
		"a comment":                   {"# ids\n" + hex + "\n", 1, `"# ids"`},
		"prose":                       {"hello world\n", 1, "none of ndjson, ids, sha256sum, oci"},
		"binary":                      {"\x00\x01\x02\n", 1, "none of"},
		"a byte order mark":           {"\ufeff" + hex + "\n", 1, "none of"},
		"carriage returns":            {hex + "\r\n", 1, "carriage return"},
		"carriage returns later":      {hex + "\n" + other + "\r\n", 2, "not ids"},
		"a short id":                  {hex + "\n" + other[1:] + "\n", 2, "not ids"},
		"a bad digit":                 {hex + "\n" + other[1:] + "g\n", 2, "not ids"},
		"padded base64":               {a.Base64URL() + "=\n", 1, "none of"},
		"a blank before":              {" " + hex + "\n", 1, "none of"},
		"a blank after":               {hex + " \n", 1, "none of"},
		"a negative size":             {hex + " 1\n" + other + " -1\n", 2, "leading zeros"},
		"a padded size":               {hex + " 1\n" + other + " 01\n", 2, "leading zeros"},
		"a size in words":             {hex + " 1\n" + other + " 4k\n", 2, "leading zeros"},
		"a huge size":                 {hex + " 1\n" + other + " 9223372036854775808\n", 2, "more than"},
		"a huger size":                {hex + " 1\n" + other + " 99999999999999999999999\n", 2, "more than"},
		"three columns":               {hex + " 1 2\n", 1, "none of"},
		"a size that may be cut":      {hex + " 409", 1, "was the list cut"},
		"a later one":                 {hex + " 1\n" + other + " 409", 2, "was the list cut"},
		"an OCI size that may be cut": {"sha256:" + hex + "\nsha256:" + other + "\t40", 2, "was the list cut"},
		"OCI in upper case":           {"sha256:" + strings.ToUpper(hex) + "\n", 1, "none of"},
		"OCI with another hash":       {"sha256:" + hex + "\nsha512:" + hex + hex + "\n", 2, "not oci"},
		"sum without a name":          {hex + "  \n", 1, "none of"},
		"sum with one blank":          {hex + "  x\n" + other + " x\n", 2, "not sha256sum"},
		"sum with an odd escape":      {hex + "  x\n\\" + other + "  a\\tb\n", 2, "backslash"},
		"sum with a lone escape":      {hex + "  x\n\\" + other + "  ab\\\n", 2, "backslash"},
		"sum without an escape":       {hex + "  x\n\\" + other + "  ab\n", 2, "backslash"},
		"another format":              {hex + "\nsha256:" + other + "\n", 2, "it is oci, those before it are ids"},
		"another format after sums":   {hex + "  x\n" + other + " 7\n", 2, "it is ids, those before it are sha256sum"},
		"another format after JSON":   {`{"id":"` + hex + "\"}\n" + other + "\n", 2, "it is ids, those before it are ndjson"},
		"JSON after ids":              {hex + "\n" + `{"id":"` + other + "\"}\n", 2, "it is ndjson, those before it are ids"},
		"two formats":                 {hex + "  1\n" + other + "  22\n", 0, "lines 1 to 2, could be ids with sizes, or sha256sum"},
		"neither of two":              {hex + "  1\n" + `{"id":"` + other + "\"}\n", 2, "it is ndjson, those before it are ids or sha256sum"},
		"a long line":                 {hex + "\n" + strings.Repeat("x", 20_000) + "\n", 2, "more than 16384 bytes"},
		"a longer line":               {hex + "\n" + strings.Repeat("x", 200_000) + "\n", 2, "more than 16384 bytes"},
		"a catalog":                   {"\x89rsnap\r\n and more", 0, "catalog already"},
	} {
		_, _, err := importList(t, tc.text, listing.Config{})
		if !errors.Is(err, listing.ErrImport) || lineOf(err) != tc.line || !strings.Contains(err.Error(), tc.what) || !strings.Contains(err.Error(), "list") {
			t.Errorf("%s: error %v, want %q in line %d", name, err, tc.what, tc.line)
		}
	}
	// What fits two formats is read as the one that is asked for.
	both := hex + "  1\n" + other + "  22\n"
	for f, size := range map[listing.Format]int64{listing.IDs: 22, listing.SHA256Sum: unknown} {
		r := mustImport(t, both, listing.Config{Format: f})
		if rows := rowsOf(t, r); rows[1].Size != size && rows[0].Size != size {
			t.Errorf("%v: %+v", f, rows)
		}
	}
	for _, f := range []listing.Format{listing.NDJSON, listing.OCI, listing.Walrus} {
		if _, _, err := importList(t, both, listing.Config{Format: f}); !errors.Is(err, listing.ErrImport) {
			t.Errorf("asked for %v: %v", f, err)
		}
	}
}

func TestRefusedJSON(t *testing.T) {
	good := `{"id":"` + id(1).String() + `"`
	for text, what := range map[string]string{
		`{}`:                                       "no id",
		`{"size":1}`:                               "no id",
		`{"id":null}`:                              "want a string",
		`{"id":7}`:                                 "want a string",
		`{"id":"xyz"}`:                             "not a blob id",
		`{"ID":"` + id(1).String() + `"}`:          `unknown key "ID"`,
		good + `,"name":"x"}`:                      `unknown key "name"`,
		good + `,"name":null}`:                     `unknown key "name"`,
		good + `,"size":1,"size":1}`:               "twice",
		good + `,"size":"1"}`:                      "want a number",
		good + `,"size":1.0}`:                      "leading zeros",
		good + `,"size":1e3}`:                      "leading zeros",
		good + `,"size":-1}`:                       "leading zeros",
		good + `,"size":+1}`:                       "leading zeros",
		good + `,"size":true}`:                     "leading zeros",
		good + `,"size":[1]}`:                      "not one flat",
		good + `,"size":{}}`:                       "not one flat",
		good + `,"size":9223372036854775808}`:      "more than",
		good + `,"certified_epoch":4294967296}`:    "more than",
		good + `,"end_epoch":4294967296}`:          "more than",
		good + `,"end_epoch":1}`:                   "not after certified epoch 1",
		good + `,"certified_epoch":4294967295}`:    "not after",
		good + `,"position":0}`:                    "begin at 1",
		good + `,"position":18446744073709551616}`: "more than",
		good + `,"encoding":"zip"}`:                "not raw, striped or walrus",
		good + `,"digest":"00"}`:                   "64 hex digits",
		good + `,"digest":"` + strings.Repeat("zz", 32) + `"}`: "64 hex digits",
		good:                                   "not one flat",
		good + `,}`:                            "not one flat",
		good + `}}`:                            "not one flat",
		good + `} {}`:                          "not one flat",
		good + `,"size":}`:                     "not one flat",
		good + `,"size" 1}`:                    "not one flat",
		good + `"size":1}`:                     "not one flat",
		good + `,size:1}`:                      "not one flat",
		good + `,"size":1`:                     "not one flat",
		`{"id":"` + id(1).String():             "not one flat",
		`{"\u0069d":"` + id(1).String() + `"}`: "escape",
		`{"id":"caf` + "\u00e9" + `"}`:         "plain ASCII",
		`{"id":"a` + "\t" + `"}`:               "plain ASCII",
	} {
		_, _, err := importList(t, text+"\n", listing.Config{})
		if lineOf(err) != 1 || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v, want %q", text, err, what)
		}
	}
	if _, _, err := importList(t, `[1]`, listing.Config{Format: listing.NDJSON}); lineOf(err) != 1 {
		t.Errorf("an array: %v", err)
	}
}

// A list that cannot be read to its end is not imported. Hazard 43: that is no
// fault of any line.
func TestBrokenStream(t *testing.T) {
	broken := errors.New("cable pulled")
	text := lines("%v", 1, 2, 3)
	for _, n := range []int{0, 1, 7, 64, 65, 100, len(text)} {
		in := io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken))
		if _, _, err := importList(t, "", listing.Config{In: in}); !errors.Is(err, broken) || errors.Is(err, listing.ErrImport) {
			t.Errorf("broken off after %d bytes: %v", n, err)
		}
	}
	r := mustImport(t, "", listing.Config{In: iotest.OneByteReader(strings.NewReader(text))})
	if r.Totals().Certified != 3 {
		t.Errorf("byte by byte: %+v", r.Totals())
	}
}

func TestFormatNames(t *testing.T) {
	for f := listing.Auto; f <= listing.Walrus; f++ {
		if back, err := listing.ParseFormat(f.String()); err != nil || back != f {
			t.Errorf("%v: %v, %v", f, back, err)
		}
	}
	if _, err := listing.ParseFormat("csv"); err == nil || !strings.Contains(err.Error(), "ndjson") {
		t.Error(err)
	}
	if listing.Format(77).String() != "format(77)" {
		t.Error(listing.Format(77))
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := listing.Export(t.Context(), mustImport(t, lines("%v", 1), listing.Config{}), listing.OCI, &out); !errors.Is(err, listing.ErrExport) || out.Len() > 0 {
		t.Errorf("exported as oci: %v", err)
	}
}

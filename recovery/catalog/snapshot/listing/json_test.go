package listing

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// FuzzJSON: what the strict reader accepts, encoding/json accepts too, and reads
// the same from it.
func FuzzJSON(f *testing.F) {
	id := strings.Repeat("0a", 32)
	for _, line := range []string{
		`{"id":"` + id + `","size":3,"certified_epoch":2,"end_epoch":8,"position":7,"encoding":"striped","digest":"` + id + `"}`,
		"\t{ \"id\" : \"" + id + "\" , \"size\" : null } ", `{"id":"` + id + `","digest":null,"encoding":"walrus"}`, `{}`, `{"id":"\u0030"}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var row Row
		if NDJSON.parse([]byte(line), &row) != nil {
			return
		}
		want := struct {
			ID             recovery.BlobID
			Size           *int64
			CertifiedEpoch *uint32 `json:"certified_epoch"`
			EndEpoch       *uint32 `json:"end_epoch"`
			Position       *uint64
			Encoding       *string
			Digest         *string
		}{}
		in := json.NewDecoder(strings.NewReader(line))
		in.DisallowUnknownFields()
		if err := in.Decode(&want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if row.ID != want.ID || row.Size != or(want.Size, -1) || row.CertifiedEpoch != or(want.CertifiedEpoch, 1) ||
			row.EndEpoch != or(want.EndEpoch, recovery.EpochForever) || row.Position != or(want.Position, 0) ||
			row.Encoding.String() != or(want.Encoding, "raw") {
			t.Fatalf("%q is read as %+v", line, row)
		}
		if want.Digest != nil && !strings.EqualFold(recovery.BlobID(row.Digest).String(), *want.Digest) {
			t.Fatalf("%q has digest %x", line, row.Digest)
		}
	})
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func BenchmarkParse(b *testing.B) {
	id := strings.Repeat("0a", 32)
	for f, line := range map[Format]string{
		NDJSON: `{"id":"` + id + `","size":4096,"certified_epoch":2,"end_epoch":80,"position":123456}`, IDs: id + " 4096",
		SHA256Sum: id + "  some/file", OCI: "sha256:" + id + " 4096",
	} {
		b.Run(f.String(), func(b *testing.B) {
			var row Row
			for b.Loop() {
				if err := f.parse([]byte(line), &row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

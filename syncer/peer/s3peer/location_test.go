package s3peer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/s3peer"
)

const idHex = "ab0000000000000000000000000000000000000000000000000000000000ff3e"

func testPiece(t testing.TB) syncer.Piece {
	t.Helper()
	id, err := recovery.ParseBlobID(idHex)
	if err != nil {
		t.Fatal(err)
	}
	return syncer.Piece{Blob: recovery.Blob{ID: id}, Shard: 7, Index: 12}
}

func TestLocation(t *testing.T) {
	const gateway = "?endpoint=http://127.0.0.1:7070"
	for _, c := range []struct{ text, url, name string }{
		{"s3://blobs/{id}" + gateway, "http://127.0.0.1:7070/blobs/" + idHex, "s3://blobs/{id}" + gateway},
		{"s3://blobs/a/{shard}/{aa}/{id}/{piece}" + gateway + "/&keys=/etc/k&profile=p", "http://127.0.0.1:7070/blobs/a/7/ab/" + idHex + "/12",
			"s3://blobs/a/{shard}/{aa}/{id}/{piece}" + gateway},
		{"s3://blobs/sha256:{id}" + gateway, "http://127.0.0.1:7070/blobs/sha256%3A" + idHex, "s3://blobs/sha256:{id}" + gateway},
		{"s3://blobs/a%20b+%7Bid%7D/{id}" + gateway, "http://127.0.0.1:7070/blobs/a%20b%2B%7Bid%7D/" + idHex, "s3://blobs/a%20b+%7Bid%7D/{id}" + gateway},
		{"s3://blobs/{id}?endpoint=https://s3.example&style=virtual", "https://blobs.s3.example/" + idHex, "s3://blobs/{id}?endpoint=https://s3.example"},
		{"s3://blobs/{id}?region=eu-west-1", "https://blobs.s3.eu-west-1.amazonaws.com/" + idHex, "s3://blobs/{id}"},
		{"s3://blobs/{id}?region=cn-north-1", "https://blobs.s3.cn-north-1.amazonaws.com.cn/" + idHex, "s3://blobs/{id}"},
		{"s3://my.blobs/{id}?region=eu-west-1", "https://s3.eu-west-1.amazonaws.com/my.blobs/" + idHex, "s3://my.blobs/{id}"},
		{"s3://blobs/{id}?endpoint=https://s3.eu-west-1.amazonaws.com&style=path", "https://s3.eu-west-1.amazonaws.com/blobs/" + idHex,
			"s3://blobs/{id}?endpoint=https://s3.eu-west-1.amazonaws.com"},
		{"s3://blobs/{id_base64url}?endpoint=http://[::1]:90", "http://[::1]:90/blobs/qwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_z4",
			"s3://blobs/{id_base64url}?endpoint=http://[::1]:90"},
	} {
		l, err := s3peer.Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if d := cmp.Diff([]string{c.url, c.name}, []string{l.Template().Expand(testPiece(t)).String(), l.Name()}); d != "" {
			t.Errorf("%s: %s", c.text, d)
		}
	}
}

// Whatever is wrong, it is said without what may be secret.
func TestLocationRefused(t *testing.T) {
	for _, c := range []struct{ text, why string }{
		{"s3://blobs/all", "neither {id} nor {id_base64url}"},
		{"s3://blobs", "neither {id} nor {id_base64url}"},
		{"s3://blobs/{name}/{id}", "unknown placeholder {name}"},
		{"s3://blobs/{id", "braces do not match"},
		{"s3://blobs/}{id}", "braces do not match"},
		{"s3://blobs/{{id}}", "braces do not match"},
		{"s3://blobs/../{id}", "a part that is . or .."},
		{"s3://blobs/%2e%2e/{id}", "a part that is . or .."},
		{"s3://blobs/%zz/{id}", "broken escape"},
		{"s3://blobs/%ff/{id}", "broken escape"},
		{"s3://b/{id}", "no bucket"},
		{"s3://blobs:9000/{id}", "no bucket"},
		{"s3://{id}/{id}", "no bucket"},
		{"s3:///{id}", "no bucket"},
		{"http://blobs/{id}", "must begin with s3://"},
		{"s3://AKIA:hush@blobs/{id}", "user info"},
		{"s3://blobs/{id}#hush", "user info or a fragment"},
		{"s3://blobs/{id}?secret=hush", `"secret", want endpoint`},
		{"s3://blobs/{id}?region=", `"region" wants one value`},
		{"s3://blobs/{id}?region=a&region=b", `"region" wants one value`},
		{"s3://blobs/{id}?region=hush%0d", "its region"},
		{"s3://blobs/{id}?style=odd", "its style"},
		{"s3://blobs/{id}?hush=%zz", "cannot be read"},
		{"s3://blobs/{id}?endpoint=ftp://hush", "its endpoint is not"},
		{"s3://blobs/{id}?endpoint=hush:7070", "its endpoint is not"},
		{"s3://blobs/{id}?endpoint=http://u:hush@h", "more than a host"},
		{"s3://blobs/{id}?endpoint=http://h/hush", "more than a host"},
		{"s3://blobs/{id}?endpoint=http://h%3Fhush", "more than a host"},
		{"s3://blobs/{id}?endpoint=http://h:0", "port"},
		{"s3://blobs/{id}" + strings.Repeat("x", peer.MaxTemplate), "bytes long"},
	} {
		_, err := s3peer.Parse(c.text)
		if !errors.Is(err, peer.ErrTemplate) || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.60s: %v, want %q", c.text, err, c.why)
		}
	}
}

// A location is refused, or its requests go to its endpoint and hold the id.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{"s3://blobs/{id}", "s3://my.blobs/a%2F{aa}/{id_base64url}?endpoint=http://h:1&region=r&style=virtual", "s3://b/{", "s3://blobs/%7Bid%7D{id}?keys=none"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := s3peer.Parse(text)
		if err != nil {
			if !errors.Is(err, peer.ErrTemplate) {
				t.Fatalf("%v does not wrap ErrTemplate", err)
			}
			return
		}
		u := l.Template().Expand(testPiece(t))
		if u.Host != l.Template().Host() || u.User != nil || u.RawQuery != "" || strings.ContainsAny(u.RequestURI(), " \r\n{?") {
			t.Fatalf("%q asks for %q", text, u)
		}
		if !strings.Contains(u.Path, idHex) && !strings.Contains(u.Path, testPiece(t).Blob.ID.Base64URL()) {
			t.Fatalf("%q asks for %q, without the id", text, u)
		}
	})
}

package peer_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
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

func TestTemplateExpand(t *testing.T) {
	for _, c := range []struct{ text, url, name, address string }{
		{"http://h/{id}", "http://h/" + idHex, "http://h/{id}", "h:80"},
		{"https://h:8443/v2/app/blobs/sha256:{id}", "https://h:8443/v2/app/blobs/sha256:" + idHex,
			"https://h:8443/v2/app/blobs/sha256:{id}", "h:8443"},
		{"https://h/{aa}/{id}/{shard}/{piece}", "https://h/ab/" + idHex + "/7/12", "https://h/{aa}/{id}/{shard}/{piece}", "h:443"},
		{"http://h/b/{id_base64url}", "http://h/b/qwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_z4", "http://h/b/{id_base64url}", "h:80"},
		{"http://user:pa%3Ass@h/{id}?sig=secret", "http://h/" + idHex + "?sig=secret", "http://h/{id}", "h:80"},
		{"http://h/get?id={id}&s={shard}", "http://h/get?id=" + idHex + "&s=7", "http://h/get", "h:80"},
		{"http://h?id={id}", "http://h/?id=" + idHex, "http://h/", "h:80"},
		{"http://h/a%2Fb/@x/{id}", "http://h/a%2Fb/@x/" + idHex, "http://h/a%2Fb/@x/{id}", "h:80"},
		{"http://[::1]:90//{id}", "http://[::1]:90//" + idHex, "http://[::1]:90//{id}", "[::1]:90"},
		{"http://h/%7Bid%7D/{id}", "http://h/%7Bid%7D/" + idHex, "http://h/%7Bid%7D/{id}", "h:80"},
	} {
		tmpl, err := peer.ParseTemplate(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := []string{tmpl.Expand(testPiece(t)).String(), tmpl.Name(), tmpl.Address()}
		if d := cmp.Diff([]string{c.url, c.name, c.address}, got); d != "" {
			t.Errorf("%s: %s", c.text, d)
		}
	}
}

// A manifest lies beside the shards, and has no number.
func TestTemplateOfAManifest(t *testing.T) {
	p := testPiece(t)
	p.Shard, p.Index, p.Manifest = 0, 0, true
	for text, want := range map[string]string{
		"http://h/{shard}/{id}":         "http://h/manifest/" + idHex,
		"http://h/{shard}/{aa}/{id}":    "http://h/manifest/ab/" + idHex,
		"http://h/p/{piece}?id={id}":    "http://h/p/manifest?id=" + idHex,
		"http://h/{id}?piece={piece}":   "http://h/" + idHex + "?piece=manifest",
		"http://h/blobs/{id_base64url}": "http://h/blobs/qwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_z4",
	} {
		tmpl, err := peer.ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := tmpl.Expand(p).String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestTemplateRefused(t *testing.T) {
	for _, c := range []struct{ text, why string }{
		{"http://h/blobs", "neither {id} nor {id_base64url}"},
		{"http://h/{aa}/{shard}/{piece}", "neither {id} nor {id_base64url}"},
		{"http://h/{id}/{name}", "unknown placeholder {name}"},
		{"http://h/{ID}", "unknown placeholder {ID}"},
		{"http://h/{id}/{", "braces do not match"},
		{"http://h/}{id}", "braces do not match"},
		{"ftp://h/{id}", "must begin with http"},
		{"h/{id}", "must begin with http"},
		{"http:///{id}", "names no host"},
		{"http:h/{id}", "names no host"},
		{"http://{aa}.h/{id}", "not a URL"},
		{"http://h:{shard}/{id}", "not a URL"},
		{"http://h:0/{id}", "port"},
		{"http://h:/{id}", "port"},
		{"http://h:70000/{id}", "port"},
		{"http://h/{id}#top", "fragment"},
		{"http://h/%zz{id}", "not a URL"},
		{"http://h/%{aa}{id}", "not a URL"},
		{"http://h/a b/{id}", "must be escaped"},
		{"http://h/{id}\r\nX: y", "must be escaped"},
		{"http://h/{id}" + strings.Repeat("x", peer.MaxTemplate), "bytes long"},
	} {
		_, err := peer.ParseTemplate(c.text)
		if !errors.Is(err, peer.ErrTemplate) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%.60s: %v, want %q", c.text, err, c.why)
		}
	}
}

// Whatever is wrong with a template, its secrets are not shown.
func TestTemplateSecrets(t *testing.T) {
	for _, text := range []string{
		"http://user:hush@h/blobs", "http://user:hush@h:x/{id}", "ftp://user:hush@h/{id}", "user:hush@h/{id}",
		"http://h/blobs?key=hush", "http://user:hu/hush@h/{id}", "http://user:hush@h/{id}#hush", "http://user:hush@{aa}/{id}",
		"http://user:hush@h/%zz{id}",
	} {
		_, err := peer.ParseTemplate(text)
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", text, err)
		}
	}
	tmpl, err := peer.ParseTemplate("http://user:hush@h/{id}?k=hush")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(tmpl.Name(), "hush") || tmpl.Expand(testPiece(t)).User != nil {
		t.Errorf("name %q, url %s", tmpl.Name(), tmpl.Expand(testPiece(t)))
	}
	if got, want := tmpl.Authorization(), "Basic dXNlcjpodXNo"; got != want {
		t.Errorf("authorization %q, want %q", got, want)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"http://h/{id}", "https://u:p@h:1/a%2F{aa}/{id_base64url}?x={shard}&y={piece}", "http://h/{", "http://[::1%25z]/{id}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := peer.ParseTemplate(text)
		if err != nil {
			if !errors.Is(err, peer.ErrTemplate) {
				t.Fatalf("%v does not wrap ErrTemplate", err)
			}
			return
		}
		p := testPiece(t)
		u := tmpl.Expand(p)
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q expands to %q: %v", text, u, err)
		}
		if again.Host != tmpl.Host() || again.Scheme != tmpl.Scheme() || again.User != nil || again.Fragment != "" {
			t.Fatalf("%q expands to %q, which names another place", text, u)
		}
		if !strings.Contains(u.RequestURI(), idHex) && !strings.Contains(u.RequestURI(), p.Blob.ID.Base64URL()) {
			t.Fatalf("%q expands to %q, without the id", text, u)
		}
		if strings.ContainsAny(u.RequestURI(), " \r\n{") {
			t.Fatalf("%q expands to the request %q", text, u.RequestURI())
		}
	})
}

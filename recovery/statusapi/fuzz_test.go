package statusapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// A body is one JSON object in UTF-8 whose keys are all different, or it is refused
// with a status of the client's fault.
func FuzzBody(f *testing.F) {
	for _, body := range []string{`{}`, `{"ids": ["00"], "all": true}`, `{"a": 1, "a": 2}`, `{"a": {"b": [1, {}]}}`, `[]`, `{} {}`, "{\"\xff\": 1}", `{"concurrency": 1e99}`, `null`, ``} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseObject(body)
		if err != nil {
			var refused *refusal
			if !errors.As(err, &refused) || refused.code < 400 || refused.code > 499 {
				t.Fatalf("%v", err)
			}
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(body, &all); err != nil || len(all) != len(o) {
			t.Fatalf("%q has the keys %v, not %v: %v", body, o, all, err)
		}
		for key, raw := range all {
			if !bytes.Equal(raw, o[key]) {
				t.Fatalf("%q: %s is %q, not %q", body, key, o[key], raw)
			}
			var text string
			if given, err := o.take(key, &text, "a text"); !given || err == nil && raw[0] != '"' {
				t.Fatalf("%q: %s was taken for the text %q", body, key, text)
			}
		}
		if len(o) > 0 {
			t.Fatalf("%v is left", o)
		}
	})
}

// A token's file holds what makeToken writes, or it is refused.
func FuzzToken(f *testing.F) {
	path := TokenPath(f.TempDir())
	if err := makeToken(path); err != nil {
		f.Fatal(err)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range [][]byte{made, nil, append(bytes.Clone(made), '\n'), bytes.TrimSpace(made), bytes.Repeat([]byte("A"), len(made))} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := TokenPath(t.TempDir())
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := readToken(path)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Fatal(err)
			}
			return
		}
		if secret := bytes.TrimSuffix(text, []byte("\n")); len(secret) != len(made)-1 || token != NewToken(string(secret)) {
			t.Fatalf("%q was taken for a token", text)
		}
	})
}

// What a client takes for a status is written again as the same text.
func FuzzDocument(f *testing.F) {
	text, err := json.Marshal(Document{Phase: "scanning"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{text, []byte(`{"phase": "complete", "catalog_blobs": 7}`), []byte(`{"catalog_blobs": -1}`), []byte(`[]`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d, again Document
		if json.Unmarshal(text, &d) != nil {
			return
		}
		once, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}

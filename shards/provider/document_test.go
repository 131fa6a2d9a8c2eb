package provider_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/shards/provider"
)

func TestParseDocument(t *testing.T) {
	full := shards.Ownership{Epoch: 42, TotalShards: 100, Owned: shards.Range(0, 39), Continuity: "a1", Node: shards.CatchingUp}
	least := shards.Ownership{Epoch: 42, TotalShards: 100, Owned: shards.Range(0, 39), Node: shards.Active}
	with := func(o shards.Ownership, f func(*shards.Ownership)) shards.Ownership { f(&o); return o }
	owned := func(s shards.Set) shards.Ownership { return with(least, func(o *shards.Ownership) { o.Owned = s }) }
	continuity := func(c string) shards.Ownership { return with(least, func(o *shards.Ownership) { o.Continuity = c }) }
	const head = "epoch: 42\ntotal_shards: 100\n"

	for _, tc := range []struct {
		name, text string
		want       shards.Ownership
	}{
		{"all keys", head + "owned: \"0-39\"\ncontinuity: \"a1\"\nnode: catching_up\n", full},
		{"defaults", head + "owned: 0-39", least},
		{"JSON", `{"epoch":42,"total_shards":100,"owned":"0-39","continuity":"a1","node":"catching_up"}`, full},
		{"JSON over lines", "{\r\n\t\"owned\": \"0-39\",\r\n\t\"epoch\": 42,\r\n\t\"total_shards\": 100\r\n}\r\n", least},
		{"comments and marks", "%YAML 1.1\n---\n# ours\n" + head + "owned: 0-39 # all\n...\n", least},
		{"byte order mark", "\ufeff" + head + "owned: 0-39", least},
		{"bare shard", head + "owned: 7", owned(shards.SetOf(7))},
		{"JSON number shard", `{"epoch":42,"total_shards":100,"owned":7}`, owned(shards.SetOf(7))},
		{"ranges without quotes", head + "owned: 5-6,77", owned(shards.SetOf(5, 6, 77))},
		{"no shards", head + `owned: ""`, owned(shards.Set{})},
		{"ranges over lines", head + "owned: >\n  0-9,\n  10-39\n", least},
		{"values left out", head + "owned: 0-39\ncontinuity:\nnode: ~\n", least},
		{"JSON null", `{"epoch":42,"total_shards":100,"owned":"0-39","continuity":null,"node":null}`, least},
		{"continuity like a number", head + "owned: 0-39\ncontinuity: 12e5", continuity("12e5")},
		{"continuity like a date", head + "owned: 0-39\ncontinuity: 2026-01-02", continuity("2026-01-02")},
		{"continuity like a truth", head + "owned: 0-39\ncontinuity: no", continuity("no")},
		{"continuity null in quotes", head + "owned: 0-39\ncontinuity: \"null\"", continuity("null")},
		{"JSON escape", `{"epoch":42,"total_shards":100,"owned":"0-39","continuity":"\u003ca\u003e"}`, continuity("<a>")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := provider.ParseDocument([]byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is wrong is named, with its line, in YAML and in JSON alike.
func TestParseDocumentErrors(t *testing.T) {
	const head = "epoch: 42\ntotal_shards: 100\n"
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "the document is empty"},
		{"comments only", "# soon\n", "the document is empty"},
		{"null", "---\n", "line 2: want keys and values, found nothing"},
		{"a word", "active", `line 1: want keys and values, found "active"`},
		{"a page for the browser", "<!doctype html>\n<html></html>", "want keys and values"},
		{"a list", "- epoch: 42", "line 1: want keys and values, found a list"},
		{"two documents", head + "owned: 1\n---\nepoch: 43\n", "line 4: a second document begins"},
		{"text after JSON", `{"epoch":42,"total_shards":100,"owned":""} x`, "after the document's end"},
		{"cut JSON", `{"epoch":42,"total_shards":100,"own`, "unexpected end of stream"},
		{"JSON without a comma", "{\"epoch\": 42\n\"owned\": 1}", "did not find expected ',' or '}'"},
		{"JSON escape that YAML lacks", `{"epoch":42,"total_shards":100,"owned":"","continuity":"a\/b"}`, "unknown escape"},
		{"control characters", head + "owned: 1\x00", "control characters are not allowed"},
		{"not UTF-8", head + "continuity: \xff", "UTF-8"},

		{"unknown key", head + "owned: 1\nshards: 2\n", `line 4: unknown key "shards"`},
		{"unknown key in JSON", "{\"epoch\": 42,\n \"Owned\": 1}", `line 2: unknown key "Owned"`},
		{"key twice", head + "owned: 1\nowned: 2\n", `line 4: key "owned" is there twice, first in line 3`},
		{"key twice in JSON", "{\"epoch\": 42,\n\"epoch\": 42}", `line 2: key "epoch" is there twice, first in line 1`},
		{"key twice, once empty", "owned:\nowned: 2\n", `line 2: key "owned" is there twice`},
		{"merge key", "a: &a {epoch: 1}\n<<: *a\n", `line 1: unknown key "a"`},
		{"list as key", "? [epoch]\n: 1\n", "line 1: want a key, found a list"},

		{"no epoch", "total_shards: 100\nowned: 1\n", "epoch is missing"},
		{"no total", "epoch: 42\nowned: 1\n", "total_shards is missing"},
		{"no owned", head, "owned is missing"},
		{"empty owned", head + "owned:\n", "owned is missing"},
		{"null epoch in JSON", `{"epoch":null,"total_shards":100,"owned":""}`, "epoch is missing"},

		{"epoch in quotes", `{"epoch":"42","total_shards":100,"owned":""}`, `line 1: epoch: want a number, found text: take the quotes off "42"`},
		{"fraction", "epoch: 42.0\n", `line 1: epoch: want a whole number from 0 to 4294967295, found "42.0"`},
		{"negative", "epoch: -1\n", `found "-1"`},
		{"octal or not", "epoch: 042\n", `found "042"`},
		{"hex", "epoch: 0x2a\n", `found "0x2a"`},
		{"underscore", "epoch: 4_2\n", `found "4_2"`},
		{"more than 32 bits", "epoch: 4294967296\n", `found "4294967296"`},
		{"exponent", "epoch: 1e2\n", `found "1e2"`},
		{"a truth", "epoch: true\n", `found "true"`},
		{"list of shards", head + "owned: [1, 2]\n", "line 3: owned: want one value, found a list"},
		{"map of shards", head + "owned:\n  first: 1\n", "line 4: owned: want one value, found keys and values"},
		{"alias", "epoch: &e 42\ntotal_shards: *e\n", "line 2: total_shards: want one value, found the alias *e"},
		{"binary", head + "owned: 1\ncontinuity: !!binary gIGC\n", "line 4: continuity: the tag !!binary is not allowed"},
		{"own tag", head + "owned: !env SHARDS\n", "line 3: owned: the tag !env is not allowed"},

		{"bad range", head + "owned: 9-3\n", `line 3: owned: shards: bad set: "9-3": it ends before it begins`},
		{"shard outside", head + "owned: 100\n", "shard 100 is owned, but total_shards is 100"},
		{"total 0", "epoch: 42\ntotal_shards: 0\nowned: 1\n", "total_shards is 0"},
		{"node status", head + "owned: 1\nnode: Active\n", `node is "Active"`},
		{"long continuity", head + "owned: 1\ncontinuity: " + strings.Repeat("c", 257), "257 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, err := provider.ParseDocument([]byte(tc.text))
			checkRefused(t, o, err)
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %q\nwant %q", err, tc.want)
			}
		})
	}
}

// checkRefused wants an error of one short line and no ownership beside it.
func checkRefused(t *testing.T, o shards.Ownership, err error) {
	t.Helper()
	if !errors.Is(err, shards.ErrOwnership) {
		t.Fatalf("got %+v, %v, want ErrOwnership", o, err)
	}
	if !o.Equal(shards.Ownership{}) {
		t.Errorf("%+v came with the error %v", o, err)
	}
	if len(err.Error()) > 2000 || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is not one short line: %q", err)
	}
}

// Hazard 65. A document's size is checked before it is looked at, and its content
// cannot buy more than its size.
func TestDocumentTrustedBeforeItIsBounded(t *testing.T) {
	const text = "epoch: 42\ntotal_shards: 100\nowned: 1\n#"
	fill := strings.Repeat("x", provider.MaxDocument-len(text))
	if _, err := provider.ParseDocument([]byte(text + fill)); err != nil {
		t.Errorf("the largest document: %v", err)
	}
	for name, text := range map[string]string{
		"one byte more":  text + fill + "x",
		"nested lists":   strings.Repeat("[", 100_000),
		"nested aliases": "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
		"a long key":     strings.Repeat("k", 1<<19) + ": 1",
		"a long anchor":  "epoch: *" + strings.Repeat("a", 1<<19),
		"a long number":  "epoch: " + strings.Repeat("9", 1<<19),
		"a long status":  "epoch: 1\ntotal_shards: 1\nowned: 0\nnode: " + strings.Repeat("n", 1<<19),
		"many ranges":    "owned: 0" + strings.Repeat(",0-65535", 1<<17-100),
	} {
		t.Run(name, func(t *testing.T) {
			o, err := provider.ParseDocument([]byte(text))
			checkRefused(t, o, err)
		})
	}
}

func FuzzParseDocument(f *testing.F) {
	for _, text := range []string{
		"", "epoch: 42\ntotal_shards: 100\nowned: \"0-39,77\"\ncontinuity: \"a1\"\nnode: active\n",
		`{"epoch":42,"total_shards":100,"owned":7,"continuity":null,"node":"standby"}`,
		"epoch: &e 1\nowned: *e\n", "epoch: 1\n---\nepoch: 2\n", "? [a]\n: !!binary gIGC\n", "owned: |\n  1\n", "<<: {}", "\ufeff{}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := provider.ParseDocument(data)
		if err != nil {
			checkRefused(t, o, err)
			return
		}
		if err := o.Validate(); err != nil {
			t.Fatalf("%+v was accepted: %v", o, err)
		}
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		back, err := provider.ParseDocument(text)
		if err != nil || !back.Equal(o) {
			t.Fatalf("%+v came back as %+v, %v from\n%s", o, back, err, text)
		}
	})
}

package provider_test

import (
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/recoverd/recoverd/shards/provider"
)

// The schema, which hosts in other languages check against, and the parser say the
// same about JSON documents.
func TestSchemaAgreesWithTheParser(t *testing.T) {
	f, err := os.Open("ownership.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	text, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("ownership.schema.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("ownership.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	const head = `{"epoch":42,"total_shards":100,`
	for _, tc := range []struct {
		document string
		good     bool
	}{
		{head + `"owned":"0-39","continuity":"a1","node":"catching_up"}`, true},
		{head + `"owned":"0-39,77"}`, true},
		{head + `"owned":" 0-3,\t7"}`, true},
		{head + `"owned":7}`, true},
		{head + `"owned":""}`, true},
		{head + `"owned":"0-39","continuity":null,"node":null}`, true},
		{`{"epoch":4294967295,"total_shards":65536,"owned":65535,"node":"standby"}`, true},
		{`{}`, false},
		{`[]`, false},
		{`"active"`, false},
		{head[:len(head)-1] + `}`, false},
		{head + `"owned":null}`, false},
		{head + `"owned":[1,2]}`, false},
		{head + `"owned":"a-b"}`, false},
		{head + `"owned":"1","shards":2}`, false},
		{head + `"owned":"1","node":"Active"}`, false},
		{head + `"owned":"1","continuity":"` + strings.Repeat("c", 257) + `"}`, false},
		{`{"epoch":"42","total_shards":100,"owned":""}`, false},
		{`{"epoch":-1,"total_shards":100,"owned":""}`, false},
		{`{"epoch":4294967296,"total_shards":100,"owned":""}`, false},
		{`{"epoch":42,"total_shards":0,"owned":""}`, false},
		{`{"epoch":42,"total_shards":65537,"owned":""}`, false},
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(tc.document))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != tc.good {
			t.Errorf("the schema says %v of %s", err, tc.document)
		}
		if _, err := provider.ParseDocument([]byte(tc.document)); (err == nil) != tc.good {
			t.Errorf("the parser says %v of %s", err, tc.document)
		}
	}
}

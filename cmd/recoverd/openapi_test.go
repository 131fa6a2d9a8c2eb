package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// A daemon's own answers, at work with a blob that does not come, are what the
// description that it serves says they are.
func TestAnswersOfADaemonAreDescribed(t *testing.T) {
	f := newFleet(t, 20, 100)
	parked, settled := f.someBlob(0).String(), f.someBlob(1).String()
	f.source.miss(parked, true)
	_, address := f.served("--park-after", "1")
	until(t, "it is incomplete", func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == "incomplete"
	})
	code, text := talk(t, http.DefaultClient, "GET", address+"/openapi.yaml", "")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil || code != 200 {
		t.Fatalf("code %d, %v", code, err)
	}
	token := readToken(t, f.path("state"))
	ids := fmt.Sprintf(`{"ids":[%q,%q]}`, parked, settled)
	for _, tc := range []struct{ operation, path, body string }{
		{"GET /api/v1/status", "", ""},
		{"GET /api/v1/unsettled", "", ""},
		{"GET /api/v1/shards", "", ""},
		{"GET /api/v1/history", "", ""},
		{"GET /api/v1/blobs/{id}", parked, ""},
		{"GET /api/v1/blobs/{id}", settled, ""},
		{"GET /api/v1/blobs/{id}", strings.Repeat("0", 64), ""},
		{"POST /api/v1/pause", "", `{}`},
		{"POST /api/v1/resume", "", `{}`},
		{"POST /api/v1/retry", "", ids},
		{"POST /api/v1/retry", "", `{"all":true}`},
		{"POST /api/v1/repair", "", ids},
		{"POST /api/v1/limits", "", `{"concurrency":5}`},
		{"POST /api/v1/limits", "", `{"default":true}`},
		{"POST /api/v1/log-level", "", `{"level":"warn"}`},
		{"POST /api/v1/blobs/{id}/sync", parked, `{}`},
		{"POST /api/v1/blobs/{id}/sync", settled, `{}`},
		{"POST /api/v1/blobs/{id}/sync", strings.Repeat("0", 64), `{}`},
		{"GET /api/v1/blobs/{id}", parked, ""},
	} {
		method, path, _ := strings.Cut(tc.operation, " ")
		code, answer := say(t, http.DefaultClient, method, address+strings.ReplaceAll(path, "{id}", tc.path), token, tc.body)
		if code != 200 {
			t.Errorf("%s %s %s: code %d: %s", tc.operation, tc.path, tc.body, code, answer)
			continue
		}
		var value any
		if err := json.Unmarshal([]byte(answer), &value); err != nil {
			t.Fatal(err)
		}
		schema := doc.Paths.Find(path).GetOperation(method).Responses.Status(200).Value.Content.Get("application/json").Schema.Value
		if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation()); err != nil {
			t.Errorf("%s %s %s: %v\n%s", tc.operation, tc.path, tc.body, err, answer)
		}
	}
	if _, err := statusapi.Dial(t.Context(), f.path("state")); err != nil {
		t.Errorf("it has ended: %v", err)
	}
}

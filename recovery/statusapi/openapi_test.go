package statusapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// described reads openapi.yaml. In answers everything must be described, although
// clients are told to ignore what they do not know.
func described(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed := map[*openapi3.Schema]bool{}
	for _, s := range doc.Components.Schemas {
		closeSchema(s, closed)
	}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				for _, content := range response.Value.Content {
					closeSchema(content.Schema, closed)
				}
			}
		}
	}
	return doc
}

// closeSchema allows only those properties that are listed.
func closeSchema(ref *openapi3.SchemaRef, closed map[*openapi3.Schema]bool) {
	if ref == nil || ref.Value == nil || closed[ref.Value] {
		return
	}
	s := ref.Value
	closed[s] = true
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil {
		s.AdditionalProperties.Has = new(bool)
	}
	for _, p := range s.Properties {
		closeSchema(p, closed)
	}
	for _, p := range slices.Concat(s.OneOf, s.AnyOf, s.AllOf) {
		closeSchema(p, closed)
	}
	closeSchema(s.Items, closed)
}

// Every path and method that is answered is described, and the other way round.
func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	cfg, _ := sampleConfig()
	var served, told []string
	for _, r := range newServer(t, cfg).routes() {
		if !strings.HasPrefix(r.path, "/page/") {
			served = append(served, r.method+" "+strings.TrimSuffix(r.path, "{$}"))
		}
	}
	for path, item := range described(t).Paths.Map() {
		for method := range item.Operations() {
			told = append(told, method+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(told)
	if diff := cmp.Diff(told, served); diff != "" {
		t.Errorf("described and served (-described +served):\n%s", diff)
	}
}

// sampleRequest is a request to one operation, and what it is answered with.
type sampleRequest struct {
	operation string
	path      string
	body      string // of a POST
	code      int
}

func sampleRequests() []sampleRequest {
	id := idOf(0x41).String()
	get := func(path string) sampleRequest { return sampleRequest{"GET " + path, path, "", 200} }
	post := func(path, body string) sampleRequest { return sampleRequest{"POST " + path, path, body, 200} }
	ids := fmt.Sprintf(`{"ids":[%q]}`, id)
	return []sampleRequest{
		get("/"), get("/openapi.yaml"), get("/metrics"), get("/livez"), get("/readyz"),
		get("/api/v1/status"), get("/api/v1/unsettled"), get("/api/v1/shards"), get("/api/v1/history"),
		{"GET /api/v1/unsettled", "/api/v1/unsettled?limit=1", "", 200},
		{"GET /api/v1/unsettled", "/api/v1/unsettled?limit=0", "", 400},
		{"GET /api/v1/events", "/api/v1/events?since=1", "", 400}, // the stream has tests of its own
		{"GET /api/v1/blobs/{id}", "/api/v1/blobs/" + id, "", 200},
		{"GET /api/v1/blobs/{id}", "/api/v1/blobs/" + idOf(0).String(), "", 200},
		{"GET /api/v1/blobs/{id}", "/api/v1/blobs/x", "", 400},
		post("/api/v1/pause", `{}`), post("/api/v1/resume", `{}`),
		post("/api/v1/retry", ids), post("/api/v1/retry", `{"all":true}`), post("/api/v1/repair", ids),
		post("/api/v1/limits", `{"concurrency":12}`), post("/api/v1/limits", `{"default":true}`),
		post("/api/v1/log-level", `{"level":"debug"}`),
		{"POST /api/v1/blobs/{id}/sync", "/api/v1/blobs/" + id + "/sync?timeout=1m", `{}`, 200},
		{"POST /api/v1/blobs/{id}/sync", "/api/v1/blobs/" + id + "/sync?timeout=11m", `{}`, 400},
	}
}

func (r sampleRequest) request() *http.Request {
	method, _, _ := strings.Cut(r.operation, " ")
	request := httptest.NewRequest(method, r.path, strings.NewReader(r.body))
	request.Host = "node1.example:8080"
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+sampleToken)
	}
	return request
}

// The answers of a server are what openapi.yaml says they are, field by field.
func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	full, _ := sampleConfig()
	bare := Config{Worker: &stage{}, AllowedHosts: full.AllowedHosts, Token: full.Token}
	bare.Worker.(*stage).status.CatalogBytes = recovery.SizeUnknown
	doc := described(t)
	untried := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			untried[method+" "+path] = true
		}
	}
	for _, r := range sampleRequests() {
		delete(untried, r.operation)
		t.Run(r.operation+" "+r.body, func(t *testing.T) {
			answer := httptest.NewRecorder()
			newServer(t, full).Handler().ServeHTTP(answer, r.request())
			if answer.Code != r.code {
				t.Fatalf("code %d, want %d: %s", answer.Code, r.code, answer.Body)
			}
			checkAnswer(t, doc, r.operation, answer)
			answer = httptest.NewRecorder() // a worker that knows nothing, and little that is offered
			newServer(t, bare).Handler().ServeHTTP(answer, r.request())
			checkAnswer(t, doc, r.operation, answer)
		})
	}
	if len(untried) > 0 {
		t.Errorf("never asked: %v", slices.Sorted(maps.Keys(untried)))
	}
}

func checkAnswer(t *testing.T, doc *openapi3.T, operation string, answer *httptest.ResponseRecorder) {
	t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	responses := doc.Paths.Find(path).GetOperation(method).Responses
	response := responses.Status(answer.Code)
	if response == nil {
		response = responses.Default()
	}
	kind, _, err := mime.ParseMediaType(answer.Header().Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	content := response.Value.Content.Get(kind)
	if content == nil {
		t.Fatalf("code %d with %s is not described", answer.Code, kind)
	}
	if kind != "application/json" {
		return
	}
	var value any
	if err := json.Unmarshal(answer.Body.Bytes(), &value); err != nil {
		t.Fatal(err)
	}
	if err := visit(content.Schema.Value, value); err != nil {
		t.Errorf("code %d: %v\n%s", answer.Code, err, answer.Body)
	}
}

func visit(s *openapi3.Schema, value any) error {
	return s.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation(), openapi3.MultiErrors())
}

// An event is a status.
func TestOpenAPIDescribesTheEvents(t *testing.T) {
	cfg, _ := sampleConfig()
	event := eventOf(newServer(t, cfg).Document())
	data, ok := bytes.CutPrefix(event, []byte("event: status\ndata: "))
	var value any
	if err := json.Unmarshal(data, &value); err != nil || !ok {
		t.Fatalf("%v: %s", err, event)
	}
	if err := visit(described(t).Components.Schemas["Status"].Value, value); err != nil {
		t.Error(err)
	}
}

// A check that lets everything pass would prove nothing.
func TestOpenAPICheckBites(t *testing.T) {
	cfg, _ := sampleConfig()
	schema := described(t).Components.Schemas["Status"].Value
	for name, spoil := range map[string]func(map[string]any){
		"a field that is not described": func(d map[string]any) { d["percent"] = 100 },
		"a field that is missing":       func(d map[string]any) { delete(d, "cursor_durable") },
		"another type":                  func(d map[string]any) { d["catalog_blobs"] = "many" },
		"another word":                  func(d map[string]any) { d["phase"] = "done" },
		"a nested field":                func(d map[string]any) { d["counters"].(map[string]any)["extra"] = 1 },
		"a nested optional field":       func(d map[string]any) { d["bound"].(map[string]any)["extra"] = 1 },
		"a time that is none":           func(d map[string]any) { d["at"] = "yesterday" },
	} {
		var value map[string]any
		if err := json.Unmarshal(encode(t, newServer(t, cfg).Document()), &value); err != nil {
			t.Fatal(err)
		}
		spoil(value)
		if visit(schema, value) == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// What the description takes for a body is taken, and nothing else is.
func TestOpenAPIDescribesTheBodies(t *testing.T) {
	cfg, _ := sampleConfig()
	s, doc := newServer(t, cfg), described(t)
	id := idOf(0x41).String()
	bodies := []string{
		`{}`, `[]`, `null`, `1`, `"x"`, `{"all":true}`, `{"all":false}`, `{"all":null}`, `{"all":1}`, `{"all":true,"ids":["` + id + `"]}`,
		`{"ids":[]}`, `{"ids":null}`, `{"ids":[null]}`, `{"ids":"` + id + `"}`, `{"ids":["` + id + `"]}`, `{"ids":["` + id + `","` + idOf(9).Base64URL() + `"]}`,
		`{"ids":["x"]}`, `{"ids":["` + id + `"],"now":true}`, `{"IDS":["` + id + `"]}`, `{"ids":[["` + id + `"]]}`,
		`{"concurrency":1}`, `{"concurrency":0}`, `{"concurrency":4096}`, `{"concurrency":4097}`, `{"concurrency":1.5}`, `{"concurrency":"1"}`, `{"concurrency":null}`,
		`{"auto":true}`, `{"auto":false}`, `{"auto":1}`, `{"auto":null}`, `{"auto":"auto"}`, `{"concurrency":"auto"}`, `{"auto":true,"concurrency":5}`, `{"auto":false,"concurrency":5}`,
		`{"auto":true,"concurrency_max":99}`, `{"concurrency_max":0}`, `{"concurrency_max":4097}`, `{"concurrency_max":7,"concurrency":5}`, `{"auto":true,"default":true}`, `{"concurrency_min":3}`,
		`{"bytes_in_flight":1,"bytes_per_second":0}`, `{"bytes_in_flight":1099511627777}`, `{"bytes_per_second":-1}`, `{"Concurrency":5}`,
		`{"default":true}`, `{"default":false}`, `{"default":true,"concurrency":5}`,
		`{"level":"debug"}`, `{"level":"warn"}`, `{"level":"trace"}`, `{"level":""}`, `{"level":null}`, `{"level":["debug"]}`,
	}
	for path, item := range doc.Paths.Map() {
		operation := item.Post
		if operation == nil {
			continue
		}
		schema := operation.RequestBody.Value.Content.Get("application/json").Schema.Value
		taken := 0
		for _, body := range bodies {
			var value any
			if err := json.Unmarshal([]byte(body), &value); err != nil {
				t.Fatal(err)
			}
			want := visit(schema, value) == nil
			answer := httptest.NewRecorder()
			s.Handler().ServeHTTP(answer, sampleRequest{operation: "POST " + path, path: strings.ReplaceAll(path, "{id}", id), body: body}.request())
			got := answer.Code == http.StatusOK
			if got != want || !got && answer.Code != http.StatusBadRequest {
				t.Errorf("%s %s: code %d, and the description takes it: %v", path, body, answer.Code, want)
			}
			if got {
				taken++
			}
		}
		if taken == 0 {
			t.Errorf("%s takes none of the bodies", path)
		}
	}
}

// The words of the description are those of the code.
func TestOpenAPIKnowsEveryWord(t *testing.T) {
	words := described(t).Components.Schemas
	has := func(schema *openapi3.Schema, word string) {
		t.Helper()
		if !slices.Contains(schema.Enum, any(word)) {
			t.Errorf("%q is missing in %v", word, schema.Enum)
		}
	}
	for p := recovery.PhaseWaiting; p <= recovery.PhaseHalted; p++ {
		has(words["Status"].Value.Properties["phase"].Value, p.String())
	}
	for s := recovery.Waiting; s <= recovery.Parked; s++ {
		has(words["UnsettledBlob"].Value.Properties["state"].Value, s.String())
		has(words["Blob"].Value.Properties["state"].Value, s.String())
	}
	for r := recovery.Success; r <= recovery.Cancelled; r++ {
		has(words["Result"].Value, r.String())
	}
	for _, r := range []recovery.Reason{
		"", recovery.AlreadyStored, recovery.NotCertified, recovery.Expired, recovery.Absent, recovery.WrongBytes, recovery.Unreachable,
		recovery.PeerFailed, recovery.Deadline, recovery.NoSpace, recovery.StoreError, recovery.Stopped, recovery.OtherSet,
		recovery.NotDurable, recovery.Unverifiable, recovery.CatalogError, recovery.NotReady,
	} {
		has(words["Reason"].Value, string(r))
	}
	for _, d := range []recovery.DecisionKind{recovery.Fresh, recovery.Resume, recovery.Extend, recovery.Relook, recovery.Discard, recovery.Nothing} {
		has(words["Decision"].Value, string(d))
	}
}

var _ Control = (*worker.Worker)(nil)
var _ Inspector = (*worker.Worker)(nil)
var _ Limiter = (*worker.Worker)(nil)

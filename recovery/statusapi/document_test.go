package statusapi

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

func TestDocumentGolden(t *testing.T) {
	cfg, _ := sampleConfig()
	golden(t, "status.json", encode(t, newServer(t, cfg).Document()))
	golden(t, "status_empty.json", encode(t, newServer(t, Config{Worker: &stage{}}).Document()))
}

// What a client reads is what was sent.
func TestDocumentRoundTrip(t *testing.T) {
	cfg, _ := sampleConfig()
	want := newServer(t, cfg).Document()
	var got Document
	if err := json.Unmarshal(encode(t, want), &got); err != nil {
		t.Fatal(err)
	}
	same := cmp.Options{
		cmp.Comparer(func(a, b recovery.Mark) bool { return a == b }),
		cmp.Comparer(shards.Set.Equal),
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
}

// What is not known is null and never zero.
func TestUnknownIsNull(t *testing.T) {
	w := &stage{status: worker.Status{Status: recovery.Status{
		Newest: &recovery.Bound{}, CatalogBlobs: 7, CatalogBytes: recovery.SizeUnknown,
	}}}
	d := newServer(t, Config{Worker: w}).Document()
	if d.CatalogBlobs == nil || *d.CatalogBlobs != 7 {
		t.Errorf("catalog_blobs is %v, want 7", d.CatalogBlobs)
	}
	if d.CatalogBytes != nil || d.CursorDurable != nil || d.Room != nil || d.Peers != nil {
		t.Errorf("an unknown value is not null: %+v", d)
	}
}

func TestConfigValidate(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no worker":      {},
		"wildcard host":  {Worker: &stage{}, AllowedHosts: []string{"*.example"}},
		"empty host":     {Worker: &stage{}, AllowedHosts: []string{""}},
		"host is a URL":  {Worker: &stage{}, AllowedHosts: []string{"http://node1"}},
		"negative limit": {Worker: &stage{}, MaxConns: -1},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}

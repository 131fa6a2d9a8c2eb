package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery/catalog/postgres/postgrestest"
)

// postgresURL turns "host=... user=... dbname=..." into a URL.
func postgresURL(dsn string) string {
	values := url.Values{}
	for _, pair := range strings.Fields(dsn) {
		key, value, _ := strings.Cut(pair, "=")
		values.Set(key, value)
	}
	return "postgres:///?" + values.Encode()
}

// A catalog is restored into a real Postgres, and a run scans it there; a later state
// that is restored is taken by the next run.
func TestServersRunFromPostgres(t *testing.T) {
	server := postgrestest.Start(t, postgrestest.Config{})
	dsn := postgresURL(server.DSN())
	f := newFleet(t, 80, 600)
	h := newHistory(t)
	h.epoch(1)
	h.certify(f.catalog)
	events, dir := f.path("events"), f.path("followed")
	apply := func(after int) {
		h.write(events, after)
		must(t, "catalog", "apply", "--dir", dir, "--events", events, "--network", "testnet", "--until", fmt.Sprint(len(h.lines)), "--catalog-min-free", "1")
		must(t, "snapshot", "restore", "--dir", dir, "--to", dsn)
	}
	run := func() string {
		return must(t, "run", "--state-dir", f.path("state"), "--catalog", dsn, "--ownership", f.path("ownership.yaml"), "--store", f.path("node"),
			"--peer", f.source.template(), "--listen", "", "--min-free", "1", "--exit-when-complete")
	}
	apply(0)
	if out := run(); !strings.Contains(out, fmt.Sprintf("position %d", len(h.lines))) {
		t.Errorf("it said %s", out)
	}
	before := len(h.lines)
	f.grow("more", 30, 2, "1")
	h.certify(f.catalog)
	apply(before)
	if out := run(); !strings.Contains(out, fmt.Sprintf("position %d", len(h.lines))) {
		t.Errorf("it said %s", out)
	}
	f.sameStore()
}

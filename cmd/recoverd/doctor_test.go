package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A doctor names each peer that is down, lies or has not the blob, and a clock that is
// wrong; where all is well it says so with exit code 0.
func TestDoctor(t *testing.T) {
	f := newFleet(t, 20, 300)
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5)) }))
	defer liar.Close()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		f.source.ServeHTTP(w, r)
	}))
	defer late.Close()
	look := func(more ...string) (found []symptom, code int) {
		t.Helper()
		args := append([]string{"doctor", "-o", "json"}, f.args[1:]...)
		stdout, stderr, code := invoke(t, append(args, more...)...)
		if err := json.Unmarshal([]byte(stdout), &found); err != nil {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		return found, code
	}
	has := func(found []symptom, what string, v verdict, says string) {
		t.Helper()
		if !slices.ContainsFunc(found, func(s symptom) bool { return s.What == what && s.Verdict == v && strings.Contains(s.Found, says) }) {
			t.Errorf("it does not say %s %s %q: %+v", what, v, says, found)
		}
	}
	found, code := look("--peer", f.source.template())
	if code != exitOK {
		t.Errorf("all is well: exit code %d, %+v", code, found)
	}
	has(found, "peer", verdictOK, "sent blob")
	has(found, "daemon", verdictOK, "none runs")

	found, code = look("--peer", liar.URL+"/{id}", "--peer", empty.URL+"/{id}", "--peer", "http://127.0.0.1:1/{id}", "--peer", late.URL+"/{shard}/{id}",
		"--events", f.path("none.ndjson"), "--snapshot-peer", empty.URL)
	if code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	has(found, "peer", verdictFail, "other bytes")
	has(found, "peer", verdictFail, "404")
	has(found, "peer", verdictFail, "refused")
	has(found, "clock", verdictWarn, "1h0m")

	f.own("epoch: 1\ntotal_shards: x\n")
	found, code = look("--peer", f.source.template())
	if code != exitFailure {
		t.Errorf("a bad ownership document: exit code %d", code)
	}
	has(found, "ownership", verdictFail, "total_shards")

	stdout, _, _ := invoke(t, append(append([]string{"doctor"}, f.args[1:]...), "--peer", liar.URL+"/{id}", "--write-test")...)
	if !strings.Contains(stdout, "FAIL") || !strings.Contains(stdout, "in the way") {
		t.Errorf("as text:\n%s", stdout)
	}
}

// A doctor holds what is here against each other: a disk that is not mounted, a shard
// that was wiped, a volume that is full or in memory, a catalog that is behind, another
// number of shards, and times that have not come yet.
func TestDoctorLooksAtHome(t *testing.T) {
	f := recovered(t, 40, 300)
	look := func(wantCode int, what string, v verdict, says string) {
		t.Helper()
		stdout, stderr, code := invoke(t, append([]string{"doctor", "-o", "json"}, f.run()[1:]...)...)
		var found []symptom
		if err := json.Unmarshal([]byte(stdout), &found); err != nil {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		if !slices.ContainsFunc(found, func(s symptom) bool { return s.What == what && s.Verdict == v && strings.Contains(s.Found, says) }) || code != wantCode {
			t.Errorf("exit code %d, want %d; it does not say %s %s %q: %+v", code, wantCode, what, v, says, found)
		}
	}
	look(exitOK, "progress", verdictOK, "nothing_to_do")
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"0-3\"\n")
	look(exitOK, "catalog", verdictWarn, "epoch 1, the ownership of epoch 2")
	f.own("epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\nnode: standby\n")
	look(exitOK, "ownership", verdictWarn, "standby")
	f.own("epoch: 1\ntotal_shards: 8\nowned: \"0-3\"\n")
	look(exitFailure, "store", verdictFail, "total shards")
	f.own("epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\n")

	late := time.Now().Add(time.Hour)
	f.must(os.Chtimes(f.catalog, late, late))
	look(exitOK, "clock", verdictWarn, "from now")
	f.must(os.Chtimes(f.catalog, time.Now(), time.Now()))

	f.must(os.Remove(f.path("node/2/.recoverd")))
	look(exitOK, "progress", verdictWarn, "shard 2 wiped")
	f.must(os.Rename(f.path("node"), f.path("away")))
	look(exitFailure, "store", verdictFail, "is the disk mounted?")

	smallDisk(t, f.path("node"), "1m")
	f.must(os.WriteFile(f.path("node/ballast"), make([]byte, 1000<<10), 0o600))
	look(exitFailure, "store", verdictWarn, "in memory")
	look(exitFailure, "store", verdictWarn, "free on the volume of "+f.path("node"))
}

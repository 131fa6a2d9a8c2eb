package statusapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// change posts to the handler, with the token, without a network.
func change(s *Server, path, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, sampleRequest{operation: "POST ", path: path, body: body}.request())
	return answer
}

// limitsText is what a change of limits is answered with.
func limitsText(blobs, inFlight, perSecond int) string {
	return fmt.Sprintf(`{"concurrency":%d,"auto":false,"concurrency_max":1024,"bytes_in_flight":%d,"bytes_per_second":%d,"concurrency_min":4}`, blobs, inFlight, perSecond)
}

// What is asked for reaches the worker, and its answer comes back.
func TestCommands(t *testing.T) {
	a, b := idOf(0x41), idOf(0x30)
	for _, tc := range []struct{ path, body, told, answer string }{
		{"pause", `{}`, "pause true", `{"paused":true}`},
		{"resume", ` { } `, "pause false", `{"paused":false}`},
		{"retry", `{"all":true}`, "retry all", `{"due":1,"busy":["` + idOf(1).String() + `"],"unknown":[]}`},
		{"retry", fmt.Sprintf(`{"ids":[%q,%q,%q]}`, a, b.Base64URL(), a), "retry [30 41]", `{"due":2,"busy":["` + idOf(1).String() + `"],"unknown":[]}`},
		{"repair", fmt.Sprintf(`{"ids":[%q]}`, a), "put back [41]", `{"queued":1,"not_certified":["` + idOf(2).String() + `"],"not_owned":[],"refused":["` + idOf(3).String() + `"]}`},
		{"limits", `{"bytes_per_second":1000}`, "limits 64 268435456 1000", limitsText(64, 268435456, 1000)},
		{"limits", `{"concurrency":8,"bytes_in_flight":9,"bytes_per_second":0}`, "limits 8 9 0", limitsText(8, 9, 0)},
		{"limits", `{"default":true}`, "default limits", limitsText(64, 268435456, 0)},
		{"blobs/" + a.String() + "/sync", `{}`, "sync [41]", `{"result":"success","reason":"","err":"","definite":false,"peer":"http://peer-b.internal","bytes":4096,` +
			`"covers":{"total":100,"owned":"0-39"},"judged_at":{"network":"","epoch":0,"position":0}}`},
	} {
		cfg, _ := sampleConfig()
		answer := change(newServer(t, cfg), "/api/v1/"+tc.path, tc.body)
		var got, want any
		if err := errors.Join(json.Unmarshal(answer.Body.Bytes(), &got), json.Unmarshal([]byte(tc.answer), &want)); err != nil || answer.Code != 200 {
			t.Errorf("%s %s: code %d, %v: %s", tc.path, tc.body, answer.Code, err, answer.Body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s: %s", tc.path, tc.body, diff)
		}
		if diff := cmp.Diff([]string{tc.told}, cfg.Control.(*controls).list()); diff != "" {
			t.Errorf("%s %s: %s", tc.path, tc.body, diff)
		}
	}
}

func TestLogLevelChanges(t *testing.T) {
	cfg, _ := sampleConfig()
	s := newServer(t, cfg)
	if answer := change(s, "/api/v1/log-level", `{"level":"warn"}`); answer.Code != 200 {
		t.Fatalf("code %d: %s", answer.Code, answer.Body)
	}
	if d := s.Document(); d.LogLevel == nil || *d.LogLevel != "warn" {
		t.Errorf("the status says %v", d.LogLevel)
	}
}

// What goes wrong is answered with what it means, and never with success.
func TestCommandErrors(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
	}{
		{worker.ErrEnded, 503},
		{fmt.Errorf("%w: the node is catching_up", worker.ErrNoRun), 409},
		{fmt.Errorf("%w: too many", worker.ErrLimits), 400},
		{&fs.PathError{Op: "write", Path: "/state/limits.json", Err: errors.New("no space left on device")}, 500},
	} {
		cfg, _ := sampleConfig()
		cfg.Control.(*controls).err = tc.err
		s := newServer(t, cfg)
		for path, body := range map[string]string{
			"pause": `{}`, "resume": `{}`, "retry": `{"all":true}`, "repair": fmt.Sprintf(`{"ids":[%q]}`, idOf(1)),
			"limits": `{"concurrency":5}`, "blobs/" + idOf(1).String() + "/sync": `{}`,
		} {
			answer := change(s, "/api/v1/"+path, body)
			if answer.Code != tc.code || !strings.Contains(answer.Body.String(), tc.err.Error()) {
				t.Errorf("%v, %s: code %d, want %d: %s", tc.err, path, answer.Code, tc.code, answer.Body)
			}
		}
	}
}

// A worker that offers only its status says so of the rest.
func TestNotOffered(t *testing.T) {
	full, w := sampleConfig()
	s := newServer(t, Config{Worker: w, AllowedHosts: full.AllowedHosts, Token: full.Token})
	for _, r := range sampleRequests() {
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, r.request())
		offered := strings.HasPrefix(r.operation, "GET ") && !strings.Contains(r.path, "blobs") && !strings.HasSuffix(r.path, "shards") && !strings.HasSuffix(r.path, "history")
		want := r.code
		if want == 200 && !offered {
			want = 501
		}
		if answer.Code != want {
			t.Errorf("%s: code %d, want %d: %s", r.path, answer.Code, want, answer.Body)
		}
	}
}

// Whoever has no token cannot change anything anywhere but on the socket, also
// where no token was given to the server.
func TestServerWithoutAToken(t *testing.T) {
	cfg, _ := sampleConfig()
	cfg.Token = Token{}
	s := newServer(t, cfg)
	if answer := change(s, "/api/v1/pause", "{}"); answer.Code != 403 || !strings.Contains(answer.Body.String(), "socket") {
		t.Errorf("code %d: %s", answer.Code, answer.Body)
	}
	dir := t.TempDir()
	servingUnix(t, s, dir)
	if err := dial(t, dir).Pause(t.Context(), true); err != nil {
		t.Errorf("on the socket: %v", err)
	}
	if diff := cmp.Diff([]string{"pause true"}, cfg.Control.(*controls).list()); diff != "" {
		t.Error(diff)
	}
}

// A socket of whoever embeds the handler is not ours: nobody has looked at who
// connects there.
func TestForeignSocketNeedsTheToken(t *testing.T) {
	cfg, _ := sampleConfig()
	dir := t.TempDir()
	l, err := ListenUnix(t.Context(), SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: newServer(t, cfg).Handler()}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	var refused *APIError
	if err := dial(t, dir).Pause(t.Context(), true); !errors.As(err, &refused) || refused.Code != 401 {
		t.Errorf("got %v, want 401", err)
	}
}

// A command that is not confirmed in time is no success and no failure, and is
// said to be neither.
func TestCommandOfAStuckWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := sampleConfig()
		cfg.Control.(*controls).stuck = make(chan struct{})
		s := newServer(t, cfg)
		began := time.Now()
		answer := change(s, "/api/v1/pause", "{}")
		if answer.Code != 503 || !strings.Contains(answer.Body.String(), "may or may not") || time.Since(began) != commandPatience {
			t.Errorf("code %d after %v: %s", answer.Code, time.Since(began), answer.Body)
		}
	})
}

// Two who change different limits at a time both have their way.
func TestLimitsAreChangedOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := sampleConfig()
		c := cfg.Control.(*controls)
		c.stuck = make(chan struct{})
		s := newServer(t, cfg)
		var clients sync.WaitGroup
		for _, body := range []string{`{"concurrency":5}`, `{"bytes_in_flight":6}`, `{"bytes_per_second":7}`} {
			clients.Go(func() {
				if answer := change(s, "/api/v1/limits", body); answer.Code != 200 {
					t.Errorf("code %d: %s", answer.Code, answer.Body)
				}
			})
		}
		synctest.Wait()
		close(c.stuck)
		clients.Wait()
		if want := (worker.Limits{Concurrency: 5, ConcurrencyMax: 1_024, BytesInFlight: 6, BytesPerSecond: 7}); c.Limits() != want {
			t.Errorf("got %+v, want %+v", c.Limits(), want)
		}
	})
}

// The node waits for a blob as long as it said, far beyond the limits of other
// answers, and hears whether there was an outcome.
func TestSyncWaits(t *testing.T) {
	path := "/api/v1/blobs/" + idOf(0x41).String() + "/sync"
	for _, tc := range []struct {
		name  string
		query string
		ready time.Duration // when there is an outcome; 0: never
		code  int
		after time.Duration
	}{
		{"at once", "", time.Nanosecond, 200, time.Nanosecond},
		{"after the time of a request", "?timeout=10m", 9 * time.Minute, 200, 9 * time.Minute},
		{"not in time", "?timeout=90s", 0, 504, 90 * time.Second},
		{"not in the time that is meant when none is said", "", 0, 504, defaultWait},
		{"not at all", "?timeout=10m", 0, 504, maxWait},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, _ := sampleConfig()
				stuck := make(chan struct{})
				cfg.Control.(*controls).stuck = stuck
				forbidden{
					raw: changes(path+tc.query, "{}"), code: tc.code, after: tc.after, error: "not done in time",
					before: func(*testing.T, *doorway) {
						if tc.ready > 0 {
							time.AfterFunc(tc.ready, func() { close(stuck) })
						}
					},
				}.on(t, newServer(t, cfg).Serve)
			})
		})
	}
}

// Whoever leaves does not keep its place.
func TestSyncOfAClientThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := sampleConfig()
		cfg.Control.(*controls).stuck = make(chan struct{})
		s := newServer(t, cfg)
		d, end := openDoorway(t, s.Serve)
		defer end()
		for range 3 {
			conn := d.dial()
			go conn.Write([]byte(changes("/api/v1/blobs/"+idOf(1).String()+"/sync?timeout=10m", "{}")))
			synctest.Wait()
			if len(s.waits) != 1 {
				t.Fatalf("%d wait, want 1", len(s.waits))
			}
			conn.Close()
			synctest.Wait()
			if len(s.waits) != 0 {
				t.Fatalf("%d wait, want none", len(s.waits))
			}
		}
	})
}

// Hazard 36. N of N shards "ready" while they are empty: a shard with nothing in
// it is 0 of 10, one that was not counted is null, and ready is no word of either.
func TestReadyWhileTheyAreEmpty(t *testing.T) {
	cfg, w := sampleConfig()
	w.status.Counters, w.status.Phase = recovery.Counters{}, recovery.PhaseScanning
	s := newServer(t, cfg)
	var view struct{ Shards []map[string]any }
	if err := json.Unmarshal(ask(s, "/api/v1/shards").Body.Bytes(), &view); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"shard": 3.0, "certified": 10.0, "done": 0.0, "unsettled": 2.0, "parked": 1.0},
		{"shard": 7.0, "certified": nil, "done": nil, "unsettled": 0.0, "parked": 0.0},
	}
	if diff := cmp.Diff(want, view.Shards); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/shards"} {
		text := strings.ToLower(ask(s, path).Body.String())
		for _, claim := range []string{`"ready`, "percent", "ratio", "progress", "share"} {
			if strings.Contains(text, claim) {
				t.Errorf("%s claims %s", path, claim)
			}
		}
	}
	// The service is ready, which is no claim about its work, and the status says so.
	if answer := ask(s, "/readyz"); answer.Code != 200 {
		t.Errorf("readyz: code %d", answer.Code)
	}
	if d := s.Document(); d.Phase == "complete" || d.Counters.Stored != 0 {
		t.Errorf("%+v", d)
	}
}

// Hazard 37. A progress figure that restarts at every pass, or moves backwards; "0/s,
// 2 weeks left" while the disk fills: the figures are the worker's as they are, the
// time left is a range or null, and the tail of an average ends at 0 and not at
// weeks.
func TestProgressFigureIsNotMadeUp(t *testing.T) {
	cfg, w := sampleConfig()
	s := newServer(t, cfg)
	w.status.ETA, w.status.BlobsPerSecond, w.status.BytesPerSecond = nil, 1e-9, 3e-7
	d := s.Document()
	if d.ETA != nil || d.BlobsPerSecond != 0 || d.BytesPerSecond != 0 {
		t.Errorf("eta %v, %v blobs/s, %v bytes/s", d.ETA, d.BlobsPerSecond, d.BytesPerSecond)
	}
	if text := string(encode(t, d)); !strings.Contains(text, `"eta": null`) {
		t.Errorf("the time left is not said to be unknown: %s", text)
	}
	// A new pass counts its own looks anew; what the run did stays.
	w.status.Counters.Looked, w.status.Counters.Passes = 0, 3
	after := s.Document()
	if after.Counters.Stored != d.Counters.Stored || after.Counters.StoredBytes != d.Counters.StoredBytes || after.Counters.AlreadyStored != d.Counters.AlreadyStored {
		t.Errorf("the run's sums moved from %+v to %+v", d.Counters, after.Counters)
	}
}

// Hazard 38. Counts of failures with no list of which, and no way to retry just
// those: what is counted is listed, and what is listed can be given to retry.
func TestListOfFailuresCanBeRetried(t *testing.T) {
	cfg, w := sampleConfig()
	s := newServer(t, cfg)
	var page UnsettledPage
	if err := json.Unmarshal(ask(s, "/api/v1/unsettled").Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	var parked idsBody
	for _, u := range page.Unsettled {
		if u.State == recovery.Parked.String() {
			parked.IDs = append(parked.IDs, u.ID)
		}
	}
	if len(parked.IDs) != w.status.Unsettled.Parked {
		t.Fatalf("%d are counted, %d listed", w.status.Unsettled.Parked, len(parked.IDs))
	}
	body, err := json.Marshal(parked)
	if err != nil {
		t.Fatal(err)
	}
	if answer := change(s, "/api/v1/retry", string(body)); answer.Code != 200 {
		t.Errorf("code %d: %s", answer.Code, answer.Body)
	}
	if diff := cmp.Diff([]string{"retry [41]"}, cfg.Control.(*controls).list()); diff != "" {
		t.Error(diff)
	}
}

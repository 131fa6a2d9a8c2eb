package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
)

// verb runs a verb about the fleet's daemon to its end.
func (f *fleet) verb(args ...string) (stdout, stderr string, code int) {
	f.t.Helper()
	return invoke(f.t, append(args, "--state-dir", f.path("state"))...)
}

// tells runs a verb that has to succeed, and wants each of words in what it prints.
func (f *fleet) tells(args []string, words ...string) string {
	f.t.Helper()
	out, stderr, code := f.verb(args...)
	if code != exitOK {
		f.t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
	}
	f.holds(out, words...)
	return out
}

func (f *fleet) holds(text string, words ...string) {
	f.t.Helper()
	flat := strings.Join(strings.Fields(text), " ") // wherever lines are broken
	for _, word := range words {
		if !strings.Contains(flat, word) {
			f.t.Errorf("%q is missing:\n%s", word, text)
		}
	}
}

// Hazard 38. Counts of failures with no list of which, and no way to retry just those.
// A person finds out which blob is not coming and why, mends the peer, and retries
// that one, with the verbs alone.
func TestFindingOutWhyOneBlobIsNotComing(t *testing.T) {
	f := newFleet(t, 40, 600)
	lost, other := f.someBlob(7), f.someBlob(8)
	f.source.miss(lost.String(), true)
	f.source.miss(other.String(), true)
	p := start(t, f.run("--park-after", "1")...)
	f.tells([]string{"wait", "--for", "incomplete"}, "incomplete: ")
	if _, stderr, code := f.verb("wait", "--fail-on-incomplete", "-q"); code != exitIncomplete || !strings.Contains(stderr, "recoverd unsettled list") {
		t.Errorf("wait for complete: exit code %d\n%s", code, stderr)
	}
	f.tells([]string{"status"}, "2: 2 parked", "1 of 1 reachable", f.source.server.URL, "64 blobs and 256 MiB in flight, bandwidth: no limit")
	f.tells([]string{"unsettled", "list"}, lost.String()+" parked", "1 attempt, 1 definite failure, absent: ", other.String(), "2 unsettled shown, 2 unsettled in all")
	f.tells([]string{"unsettled", "list", "--limit", "1"}, "1 shown, 2 unsettled in all; more: --after "+lost.String())
	f.tells([]string{"unsettled", "list", "--after", lost.String()}, other.String(), "1 unsettled shown")
	f.tells([]string{"unsettled", "list", "--state", "fetching"}, "0 fetching shown, 2 unsettled in all")
	f.explains(lost)
	f.source.newLife(-1)
	f.source.miss(lost.String(), false)
	f.tells([]string{"retry", lost.String()}, "1 blob is tried again now")
	until(t, "it is there", func() bool {
		out, _, _ := f.verb("explain", lost.String(), "-o", "json")
		var e statusapi.BlobView
		return json.Unmarshal([]byte(out), &e) == nil && e.State == "settled"
	})
	if n := f.source.requests(); n != 1 {
		t.Errorf("%d blobs were fetched for one", n)
	}
	out, _, code := f.verb("unsettled", "retry", lost.String(), other.String())
	if f.holds(out, "1 blob is tried again now", lost.String()+" is not unsettled; why: recoverd explain"); code != exitFailure {
		t.Errorf("retry of a settled one: exit code %d", code)
	}
	f.source.miss(other.String(), false)
	f.tells([]string{"retry", "--all"}, "tried again now")
	f.tells([]string{"wait"}, "complete: ")
	f.sameStore()
	f.ended(p, lost)
}

// explains wants all that an operator needs to know about a parked blob, in lines that
// fit a terminal.
func (f *fleet) explains(id recovery.BlobID) {
	f.t.Helper()
	out := f.tells([]string{"explain", id.String()}, "blob "+id.String(), "state parked", "why failed tries in which a peer answered: 1;", "last one absent",
		"certified from epoch 1 ", "gained at position", "asked: ", "owned (epoch 1), not stored", "ago: cancelled, absent", f.source.server.URL, "absent: status 404", "do find a peer that has it",
		"recoverd retry "+id.String())
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > explainWidth && strings.Count(strings.TrimSpace(line), " ") > 12 {
			f.t.Errorf("%d characters: %q", n, line)
		}
	}
	var e statusapi.BlobView
	out, _, _ = f.verb("unsettled", "show", id.String(), "-o", "json")
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.State != "parked" || e.Entry == nil || e.Certified == nil || !*e.Certified || len(e.Tries) == 0 {
		f.t.Errorf("%v:\n%s", err, out)
	}
}

// ended stops the daemon, and wants explain and list to say what they cannot know.
// Hazard 39. "No task is running" read as "done".
func (f *fleet) ended(p *process, id recovery.BlobID) {
	f.t.Helper()
	p.signal(syscall.SIGTERM)
	p.wait()
	f.tells([]string{"explain", id.String()}, "as of ", "not running: unknown", "no catalog was given", "tries not known", "start the daemon")
	f.tells([]string{"explain", id.String(), "--catalog", f.catalog}, "not running: settled", "whether it is still stored, a daemon would look", "whether it is stored is not known")
	f.tells([]string{"explain", strings.Repeat("0", 64), "--catalog", f.catalog}, "not running: not certified")
	f.tells([]string{"unsettled", "list"}, "as of ", "not running", "nothing is unsettled; whether the work is done: recoverd status")
}

// Hazard 39. A list that was saved is told as such.
func TestUnsettledListWithoutADaemon(t *testing.T) {
	dir := savedProgress(t)
	text, code, err := verb(t, "unsettled", "list", "--state-dir", dir, "--state", "parked")
	if code != exitOK || !strings.HasPrefix(text, "as of 2031-05-06T07:08:09Z, not running\n80000") || !strings.Contains(text, "absent: no peer has it") || strings.Contains(text, "next try") {
		t.Errorf("code %d, %v:\n%s", code, err, text)
	}
	text, _, _ = verb(t, "unsettled", "list", "--state-dir", dir, "-o", "json")
	var view unsettledView
	if err := json.Unmarshal([]byte(text), &view); err != nil || view.Running || view.Total != 1 || len(view.Unsettled) != 1 || view.At.Year() != 2031 {
		t.Errorf("%v:\n%s", err, text)
	}
	if _, code, err := verb(t, "unsettled", "list", "--state-dir", t.TempDir()); code != exitFailure || !strings.Contains(err.Error(), "not known") {
		t.Errorf("where nothing was saved: code %d, %v", code, err)
	}
}

// Hazard 40. A pause that is forgotten at restart: one that was answered holds over
// SIGTERM and over SIGKILL, and a start says so.
func TestPauseOverRestarts(t *testing.T) {
	f := newFleet(t, 60, 600)
	f.source.newLife(20) // then everything hangs
	p := start(t, f.run("--concurrency", "4", "--stop-grace", "10ms")...)
	f.hangs(4)
	f.tells([]string{"pause"}, "paused: ", "also after a restart")
	f.tells([]string{"status"}, "paused yes")
	f.tells([]string{"pause", "-o", "json"}, `{ "paused": true }`)
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p.signal(how)
		p.wait()
		f.tells([]string{"status"}, "not running", "paused yes")
		f.source.newLife(-1)
		p = start(t, f.run("--concurrency", "4")...)
		f.tells([]string{"wait", "--for", "ready"})
		f.reaches(recovery.PhaseScanning)
		f.tells([]string{"status"}, "scanning: ", "paused yes")
		if n := f.source.requests(); n > 0 {
			t.Errorf("after %v: %d blobs were fetched while paused", how, n)
		}
	}
	_, stderr, code := f.verb("wait", "--timeout", "1ms")
	if code != exitTryAgain || !strings.Contains(stderr, "not complete in 1ms") {
		t.Errorf("wait while paused: exit code %d\n%s", code, stderr)
	}
	f.tells([]string{"resume"}, "resumed")
	f.tells([]string{"wait", "--for", "complete"})
	f.sameStore()
}

// What only a daemon can do is not done without one, and nothing pretends otherwise.
func TestVerbsWithoutADaemon(t *testing.T) {
	dir := savedProgress(t)
	id := strings.Repeat("0", 64)
	for _, args := range [][]string{{"pause"}, {"resume"}, {"retry", id}, {"retry", "--all"}, {"limits"}, {"limits", "--default"}, {"config", "log-level", "debug"}} {
		text, code, err := verb(t, append(args, "--state-dir", dir)...)
		if code != exitTryAgain || text != "" || !strings.Contains(err.Error(), "no daemon runs on "+dir+" (it is saved as paused, and will start so); nothing was changed") {
			t.Errorf("%v: code %d, %v\n%s", args, code, err, text)
		}
	}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"retry"}, "give ids, or --all"},
		{[]string{"retry", id, "--all"}, "give ids, or --all"},
		{[]string{"retry", "xyz"}, "not a blob id"},
		{[]string{"explain", "xyz"}, "not a blob id"},
		{[]string{"explain"}, "it takes at least 1, and 0 were given: recoverd explain ID"},
		{[]string{"pause", "somewhere"}, `"somewhere" is more than it takes: recoverd pause [flags]`},
		{[]string{"unsettled", "list", "--state", "lost"}, "is not one of waiting, fetching"},
		{[]string{"unsettled", "list", "--limit", "-1"}, "is negative"},
		{[]string{"unsettled", "list", "--after", "xyz"}, "not a blob id"},
		{[]string{"limits", "--default", "--concurrency", "4"}, "give it alone"},
		{[]string{"config", "log-level", "loud"}, "is not debug, info, warn or error"},
		{[]string{"healthcheck", "--live", "--ready"}, "give one"},
		{[]string{"wait", "--for", "ever"}, "is not complete, incomplete, ready or running"},
		{[]string{"wait", "--timeout", "-1s"}, "is negative"},
		{[]string{"pause", "-o", "xml"}, "not text or json"},
	} {
		if _, code, err := verb(t, append(tc.args, "--state-dir", dir)...); code != exitUsage || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: code %d, %v", tc.args, code, err)
		}
	}
	for _, args := range [][]string{{"healthcheck"}, {"healthcheck", "--ready"}, {"healthcheck", "--state-dir", filepath.Join(dir, "none")}} {
		if len(args) < 3 {
			args = append(args, "--state-dir", dir)
		}
		if _, code, _ := verb(t, args...); code != exitFailure {
			t.Errorf("%v: code %d", args, code)
		}
	}
}

// Limits and the log level, with the verbs.
func TestLimitsVerb(t *testing.T) {
	f := newFleet(t, 60, 600)
	f.source.newLife(0)
	p := start(t, f.run("--concurrency", "2")...)
	f.hangs(2)
	f.tells([]string{"limits"}, "concurrency 2 blobs in flight", "bandwidth no limit")
	f.tells([]string{"limits", "--concurrency", "5", "--bwlimit", "1MiB"}, "5 blobs", "1.0 MiB/s", "256 MiB")
	f.hangs(5)
	if _, stderr, code := f.verb("limits", "--concurrency", "0"); code != exitUsage || !strings.Contains(stderr, "want 1 to 4096") {
		t.Errorf("nonsense: exit code %d\n%s", code, stderr)
	}
	f.tells([]string{"config", "log-level", "debug"}, "logs debug")
	f.tells([]string{"status"}, "5 blobs and 256 MiB in flight, bandwidth: 1.0 MiB/s", "logs debug")
	out := f.tells([]string{"limits", "--default", "-o", "json"})
	var l statusapi.LimitsView
	if err := json.Unmarshal([]byte(out), &l); err != nil || l != limitsOf(worker.Limits{Concurrency: 2, ConcurrencyMax: 1_024, BytesInFlight: 256 << 20}) {
		t.Errorf("%v:\n%s", err, out)
	}
	f.tells([]string{"healthcheck"}, "live")
	f.tells([]string{"healthcheck", "--ready"}, "ready")
	p.signal(syscall.SIGSTOP)
	_, stderr, code := f.verb("healthcheck", "--timeout", "100ms")
	p.signal(syscall.SIGCONT)
	if code != exitFailure || stderr == "" {
		t.Errorf("of a daemon that does not answer: exit code %d\n%s", code, stderr)
	}
}

// Hazard 39. "No task is running" read as "done": wait begins before the daemon and its
// directory are there, and goes on over a SIGKILL, until the work is done.
func TestWaitOverRestarts(t *testing.T) {
	f := newFleet(t, 60, 600)
	waiter := start(t, "wait", "--for", "complete", "--timeout", "1m", "--state-dir", f.path("state"))
	until(t, "it says what it waits for", func() bool { return strings.Contains(waiter.stderr.String(), "no daemon runs on") })
	f.source.newLife(20)
	p := start(t, f.run("--concurrency", "4")...)
	f.hangs(4)
	until(t, "it follows", func() bool { return strings.Contains(waiter.stderr.String(), "scanning: ") })
	p.kill()
	until(t, "it has seen that", func() bool { return strings.Count(waiter.stderr.String(), "no daemon runs on") == 2 })
	if waiter.hasEnded() {
		t.Fatalf("it ended with the daemon: %s", waiter.stdout.String())
	}
	f.source.newLife(-1)
	start(t, f.run()...)
	if code := waiter.wait(); code != exitOK || !strings.HasPrefix(waiter.stdout.String(), "complete: ") {
		t.Errorf("exit code %d, it said %s", code, waiter.stdout.String())
	}
	f.sameStore()
}

// The verbs find the state directory in the environment.
func TestVerbsReadTheEnvironment(t *testing.T) {
	dir := savedProgress(t)
	t.Setenv("RECOVERD_STATE_DIR", dir)
	if text, code, err := verb(t, "unsettled", "list"); code != exitOK || !strings.Contains(text, "1 unsettled shown") {
		t.Errorf("code %d, %v\n%s", code, err, text)
	}
	if _, code, err := verb(t, "wait", "--timeout", "1ms", "-q"); code != exitTryAgain {
		t.Errorf("code %d, %v", code, err)
	}
	if err := os.Unsetenv("RECOVERD_STATE_DIR"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"wait"}, {"pause"}, {"unsettled", "list"}, {"healthcheck"}} {
		if _, code, err := verb(t, args...); code != exitUsage || !strings.Contains(fmt.Sprint(err), "--state-dir") {
			t.Errorf("%v: code %d, %v", args, code, err)
		}
	}
}

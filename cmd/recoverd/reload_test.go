package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// hangs waits until so many requests hang at the peer.
func (f *fleet) hangs(n int) {
	f.t.Helper()
	until(f.t, "requests in flight", func() bool { return f.source.waiting() == n })
}

// says waits for a line in the log that holds all of the words.
func (p *process) says(words ...string) {
	p.t.Helper()
	until(p.t, "it says "+strings.Join(words, ", "), func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// The configuration file is read again when it changes: what can be is in force at
// once, what cannot be is named, a bad file changes nothing.
func TestReload(t *testing.T) {
	f := newFleet(t, 100, 600)
	f.source.newLife(0) // everything hangs
	conf := f.path("recoverd.yaml")
	writeFile(t, conf, "concurrency: 2\n")
	p := start(t, f.run("--config", conf)...)
	f.hangs(2)

	writeFile(t, conf, "concurrency: 5\nlog-level: debug\npark-after: 3\npeer: ['http://u:secret@127.0.0.1:1/{id}']\n")
	f.hangs(5)
	p.says(`"key":"concurrency"`, `"from":"2"`, `"to":"5"`, "in force")
	p.says(`"key":"log-level"`, `"to":"debug"`, "in force")
	p.says(`"key":"park-after"`, "needs a restart")

	writeFile(t, conf, "concurrency: 99999\n")
	p.says("configuration is bad", "99999")
	writeFile(t, conf, "concurency: 3\n")
	p.says("configuration is bad", `unknown key \"concurency\"`)
	f.hangs(5)

	// A flag on the command line wins, also later.
	writeFile(t, conf, "concurrency: 7\nlog-format: console\n")
	f.hangs(7)
	p.says(`"key":"concurrency"`, `"from":"5"`, `"to":"7"`)
	p.signal(syscall.SIGHUP)
	p.says("read again", "nothing has changed")
	if strings.Contains(p.stderr.String(), "secret") || strings.Contains(p.stderr.String(), `"key":"log-format"`) {
		t.Errorf("the log: %s", p.stderr.String())
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	p.says("configuration is bad", "no such file")
	f.hangs(7)
}

// A link to the file that is replaced, as a Kubernetes config map is, is followed.
func TestReloadThroughALink(t *testing.T) {
	f := newFleet(t, 20, 600)
	f.source.newLife(0)
	dir := f.path("conf")
	for _, version := range []string{"1", "2"} {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, version, "recoverd.yaml"), "concurrency: "+version+"\n")
	}
	link := func(target string) {
		if err := os.Symlink(target, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("1")
	if err := os.Symlink("data/recoverd.yaml", filepath.Join(dir, "recoverd.yaml")); err != nil {
		t.Fatal(err)
	}
	start(t, f.run("--config", filepath.Join(dir, "recoverd.yaml"))...)
	f.hangs(1)
	link("2")
	f.hangs(2)
}

// SIGHUP without a file says so and ends nothing; from the environment it finds its
// file as at the start.
func TestHangup(t *testing.T) {
	f := newFleet(t, 20, 600)
	f.source.newLife(0)
	p := start(t, f.run("--concurrency", "3")...)
	f.hangs(3)
	p.signal(syscall.SIGHUP)
	p.says("there is no configuration file")
	if p.hasEnded() {
		t.Errorf("it ended: %s", p.stderr.String())
	}
	p.kill()
	t.Setenv(envName("config"), f.path("env.yaml"))
	writeFile(t, f.path("env.yaml"), "bwlimit: 1MiB\n")
	p = start(t, f.run("--concurrency", "4")...)
	f.hangs(4)
	writeFile(t, f.path("env.yaml"), "bwlimit: 1500000\nconcurrency: 9\n")
	p.says(`"key":"bwlimit"`, `"from":"1MiB"`, `"to":"1500000"`, "in force")
	f.hangs(4) // the flag wins
}

// Limits that were set at run time are taken up at a start, win over the flags, and
// stay when those change; damage of theirs is told.
func TestLimitsOverARestart(t *testing.T) {
	f := newFleet(t, 50, 600)
	f.source.newLife(0)
	conf := f.path("recoverd.yaml")
	writeFile(t, conf, "concurrency: 6\n")
	if err := os.Mkdir(f.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, f.path("state/limits.json"), `{"concurrency": 3, "bytes_in_flight": 1000000, "bytes_per_second": 0}`)
	p := start(t, f.run("--config", conf)...)
	f.hangs(3)
	writeFile(t, conf, "concurrency: 8\n")
	p.says(`"key":"concurrency"`, "limits set at run time stay in force")
	f.hangs(3)
	p.kill()
	writeFile(t, f.path("state/limits.json"), `{"concurrency": 3, "bytes`)
	p = start(t, f.run("--config", conf)...)
	f.hangs(8)
	p.says("damaged file set aside", "limits.json")
}

// How each run began is kept over restarts.
func TestHistoryOverARestart(t *testing.T) {
	f := newFleet(t, 20, 600)
	for range 2 {
		must(t, f.run("--exit-when-complete")...)
	}
	f.own("epoch: 1\ntotal_shards: 4\nowned: \"0-1\"\n")
	must(t, f.run("--exit-when-complete")...)
	events, err := kept{dir: f.path("state")}.history()
	if err != nil || len(events) != 3 {
		t.Fatalf("%v, %v", events, err)
	}
	for i, want := range []recovery.DecisionKind{recovery.Discard, recovery.Nothing, recovery.Fresh} {
		if events[i].Decision != want || events[i].At.IsZero() || events[i].Why == "" {
			t.Errorf("%+v, want %s", events[i], want)
		}
	}
}

// SIGTERM lets blobs in flight end, for so long and no longer.
func TestDrainHasADeadline(t *testing.T) {
	f := newFleet(t, 50, 600)
	f.source.newLife(10)
	p := start(t, f.run("--concurrency", "4", "--stop-grace", "300ms")...)
	f.hangs(4)
	settled := func(n uint64) {
		t.Helper()
		until(t, "the others are settled", func() bool {
			doc, ok := status(t, f.path("state"))
			return ok && doc.Counters.Stored == n
		})
	}
	settled(10)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK || !strings.Contains(p.stdout.String(), "4 unsettled") {
		t.Errorf("exit code %d: %s%s", code, p.stdout.String(), p.stderr.String())
	}
	if r := saved(t, f.path("state")).Record.Progress; len(r.Unsettled) != 4 || r.Counters.Stored != 10 {
		t.Errorf("saved: %s", toJSON(r))
	}
	// Let go of in time, they end well.
	f.source.newLife(4)
	p = start(t, f.run("--concurrency", "4", "--stop-grace", "1m")...)
	f.hangs(4)
	settled(14)
	p.signal(syscall.SIGTERM)
	p.says("stopping")
	f.source.letGo()
	if code := p.wait(); code != exitOK || !strings.Contains(p.stdout.String(), "fetched 18 blobs") {
		t.Errorf("exit code %d: %s%s", code, p.stdout.String(), p.stderr.String())
	}
}

// The second signal leaves at once, whatever is in flight; what was saved holds.
func TestSecondSignalLeavesAtOnce(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		f := newFleet(t, 30, 600)
		f.source.newLife(10)
		p := start(t, f.run("--concurrency", "4", "--stop-grace", "1h")...)
		f.hangs(4)
		p.signal(syscall.SIGTERM)
		p.says("stopping", "a second signal leaves at once")
		if p.hasEnded() {
			t.Fatal("it did not wait for what is in flight")
		}
		p.signal(second)
		if code := p.wait(); code != 128+int(second) {
			t.Errorf("exit code %d", code)
		}
		f.source.letGo()
		must(t, f.run("--exit-when-complete")...)
		f.sameStore()
	}
}

// Told to stop while it opens its files, it stops, and that is no failure.
func TestStoppedWhileOpening(t *testing.T) {
	f := newFleet(t, 5, 100)
	settings, err := readSettings(given(f.run()[1:]), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said strings.Builder
	if err := runWorker(ctx, settings, &said, io.Discard); err != nil || !strings.Contains(said.String(), "stopped before") {
		t.Errorf("%v: %s", err, said.String())
	}
}

// given turns "--flag value" pairs into what was given.
func given(args []string) (flags []givenFlag) {
	for i := 0; i+1 < len(args); i += 2 {
		flags = append(flags, givenFlag{strings.TrimPrefix(args[i], "--"), []string{args[i+1]}})
	}
	return flags
}

// What a command line gave is read again just as it was.
func TestGivenFlagsAreExact(t *testing.T) {
	cmd := newRunCommand()
	args := []string{"--bytes-in-flight", "1500001", "--bwlimit", "20MiB", "--min-free", "1GB", "--peer", "a,b", "--peer", "c", "--stop-grace", "90s", "--store-create=false"}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	s, err := readSettings(givenFlags(cmd.Flags()), []string{"RECOVERD_CONCURRENCY=7"})
	if err != nil {
		t.Fatal(err)
	}
	c := s.cfg
	if c.BytesInFlight != 1500001 || c.BWLimit != 20<<20 || c.MinFree != 1e9 || len(c.Peers) != 2 || c.Peers[0] != "a,b" || c.StopGrace.Seconds() != 90 || c.StoreCreate || c.Concurrency != (concurrency{number: 7}) {
		t.Errorf("%+v", c)
	}
	again, err := s.again()
	if err != nil || len(again.changed(s)) > 0 {
		t.Errorf("read again it differs in %v, %v", again.changed(s), err)
	}
}

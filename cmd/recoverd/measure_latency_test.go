package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// farAway is how long each answer of a distant peer takes.
const farAway = 50 * time.Millisecond

// latency holds --concurrency auto against fixed ones, with a peer 50 ms away: what
// each fetches a second, and how soon auto fetches nine tenths of what the best does.
func (m *measurement) latency(t *testing.T) {
	for _, tc := range []struct {
		blobs, size int
		runs        time.Duration // each, at most
	}{{220_000, 4 << 10, 8 * time.Second}, {1_500, 1 << 20, 8 * time.Second}} {
		peer := newDistantPeer(t, m.dir, tc.blobs, tc.size)
		best, bestOf := 0.0, ""
		var all []string
		for _, fixed := range []string{"16", "64", "256", "1024"} {
			c := m.fetchFrom(t, peer, fixed, tc.runs)
			all = append(all, fmt.Sprintf("%s: %.0f/s and %s", fixed, c.steady(), mebibytes(c.memory)))
			if c.steady() > best {
				best, bestOf = c.steady(), fixed
			}
		}
		auto := m.fetchFrom(t, peer, "auto", tc.runs)
		reached := "never"
		if at, ok := auto.reaches(0.9 * best); ok {
			reached = fmt.Sprintf("after %.1f s", at.Seconds())
		}
		m.add(t, finding{
			what: fmt.Sprintf("%d B blobs, 50 ms away: auto fetches 90 %% of the best fixed limit", tc.size), value: reached, target: "within 5 s", rounds: 1,
			detail: fmt.Sprintf("best %s with %.0f blobs/s (%s); auto %.0f/s in the second half, %s at most; every half second: %s",
				bestOf, best, strings.Join(all, ", "), auto.steady(), mebibytes(auto.memory), auto),
		})
	}
}

// nearby holds auto against the default with a peer next door, where there is nothing
// to be gained: all blobs fetched, from exec to exit.
func (m *measurement) nearby(t *testing.T) {
	const rounds, blobs = 3, 60_000
	peer := newDistantPeer(t, m.dir, blobs, 4<<10)
	peer.away = 0
	whole := func(concurrency string) func() time.Duration {
		return func() time.Duration {
			args := m.emptyNode(t, peer, concurrency)
			began := time.Now()
			must(t, append(args, "--exit-when-complete")...)
			return time.Since(began)
		}
	}
	took := takeTurns(rounds, whole("64"), whole("auto"))
	m.add(t, finding{
		what: fmt.Sprintf("%d blobs of 4 KiB from next door: 64 against auto", blobs), value: took[0].over(took[1]).times(), target: "at least 0.95", rounds: rounds,
		detail: fmt.Sprintf("64: %v, auto: %v", took[0], took[1]),
	})
}

// haul is what a run fetched in each tenth of a second from its first request on.
type haul struct {
	tenths []uint64
	memory uint64 // resident at most, bytes
}

// fetchFrom lets an empty node fetch for a while, and kills it.
func (m *measurement) fetchFrom(t testing.TB, peer *distantPeer, concurrency string, most time.Duration) (c haul) {
	t.Helper()
	before := peer.served.Load()
	p := start(t, m.emptyNode(t, peer, concurrency)...)
	defer p.kill()
	until(t, "the first blob was served", func() bool { return peer.served.Load() > before })
	seen := before
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var use residence
	for range int(most / (100 * time.Millisecond)) {
		<-tick.C
		now := peer.served.Load()
		if now-before >= uint64(len(peer.numbers)) {
			break // the rest of this tenth was idle
		}
		c.tenths = append(c.tenths, now-seen)
		seen = now
		use.look(t, p)
	}
	c.memory = use.most
	t.Logf("%s: %s", concurrency, c)
	return c
}

// emptyNode returns the arguments of a run that has everything to fetch.
func (m *measurement) emptyNode(t testing.TB, peer *distantPeer, concurrency string) []string {
	t.Helper()
	m.lives++
	dir := filepath.Join(m.dir, fmt.Sprintf("latency-%d", m.lives))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "ownership.yaml"), "epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\n")
	return []string{
		"run", "--state-dir", filepath.Join(dir, "state"), "--store", filepath.Join(dir, "store"), "--catalog", peer.catalog,
		"--ownership", filepath.Join(dir, "ownership.yaml"), "--peer", peer.server.URL + "/{id}", "--listen", "", "--min-free", "1",
		"--log-format", "json", "--concurrency", concurrency,
	}
}

// steady is the mean of the second half, in blobs a second.
func (c haul) steady() float64 { return c.mean(len(c.tenths)/2, len(c.tenths)) }

func (c haul) mean(from, to int) float64 {
	sum := uint64(0)
	for _, n := range c.tenths[from:to] {
		sum += n
	}
	return float64(sum) / float64(to-from) * 10
}

// reaches says when a rate is reached, over half a second.
func (c haul) reaches(rate float64) (time.Duration, bool) {
	for i := 0; i+5 <= len(c.tenths); i++ {
		if c.mean(i, i+5) >= rate {
			return time.Duration(i+5) * 100 * time.Millisecond, true
		}
	}
	return 0, false
}

// String lists the rate of each half second.
func (c haul) String() string {
	var rates []string
	for half := range slices.Chunk(c.tenths, 5) {
		rates = append(rates, fmt.Sprintf("%.0f", haul{tenths: half}.mean(0, len(half))))
	}
	return strings.Join(rates, " ")
}

// distantPeer answers each request after a while. Its blobs differ in their first
// bytes only, so that it holds one of them.
type distantPeer struct {
	catalog string
	server  *httptest.Server
	away    time.Duration // how long each answer takes
	numbers map[string]uint64
	rest    []byte
	served  atomic.Uint64
}

func newDistantPeer(t testing.TB, dir string, blobs, size int) *distantPeer {
	t.Helper()
	p := &distantPeer{
		catalog: filepath.Join(dir, fmt.Sprintf("distant-%d-%d.rsnap", blobs, size)), numbers: make(map[string]uint64, blobs),
		away: farAway, rest: bytes.Repeat([]byte("recover "), size/8)[8:],
	}
	var list strings.Builder
	for n := range uint64(blobs) {
		hash := sha256.New()
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, n)) // a hash takes everything
		_, _ = hash.Write(p.rest)
		id := fmt.Sprintf("%x", hash.Sum(nil))
		p.numbers[id] = n
		fmt.Fprintf(&list, "%s %d\n", id, size)
	}
	path := filepath.Join(dir, fmt.Sprintf("distant-%d-%d.txt", blobs, size))
	writeFile(t, path, list.String())
	must(t, "catalog", "import", "--in", path, "--out", p.catalog, "--format", "ids")
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *distantPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, ok := p.numbers[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	time.Sleep(p.away)
	w.Header().Set("Content-Length", strconv.Itoa(8+len(p.rest)))
	_, _ = w.Write(binary.BigEndian.AppendUint64(nil, n)) // a client that has left is killed
	if _, err := w.Write(p.rest); err == nil {
		p.served.Add(1)
	}
}

package httppeer_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

const wantedSize = 20_000

// hostile is a server that does not do what it should.
type hostile struct {
	name   string
	script func(x *exchange, content string)
	start  func(t *testing.T) (url string) // in place of the script
	// want is why a blob that only such servers have is not recovered; empty: it is,
	// since what they send is right after all.
	want recovery.Reason
	// text is part of what status tells of such a server; empty: it tells of no error.
	text string
	// fickle: it does so for some requests only, and other blobs are recovered.
	fickle bool
	// limits are those of the pool; the defaults wait for seconds, so that a busy
	// machine makes no peer fail.
	limits peer.Config
	// answer is how long such a server may take to answer; default 30 s.
	answer time.Duration
}

const (
	blobsEach  = 3        // for a case and an arrangement
	atOnce     = 12       // cases: most of them wait
	heapBound  = 96 << 20 // bytes; gzip and header bombs are larger
	filesBound = 2_000
)

// quick makes a peer that is too slow fail within a second.
var quick = peer.Config{Window: 300 * time.Millisecond, MinSpeed: 3_000, TryGrace: 5 * time.Second}

// checkHostile recovers blobs from servers that all do the same: one of them and a good
// one; three and a good one; two of them alone. With a good one everything is
// recovered. Alone nothing wrong is stored. Status names what each does.
func checkHostile(t *testing.T, what string, cases []hostile) {
	t.Parallel()
	n := newNode(t)
	var mu sync.Mutex
	recovered := 0
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, c := range cases {
		for _, a := range []struct {
			name      string
			bad, good int
		}{{"beside a good one", 1, 1}, {"all but one of four", 3, 1}, {"alone", 2, 0}} {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				t.Run(c.name+"/"+a.name, func(t *testing.T) {
					got := n.check(t, c, a.bad, a.good)
					mu.Lock()
					recovered += got
					mu.Unlock()
				})
			})
		}
	}
	wg.Wait()
	n.checkTree(t, recovered)
	if n.heap > heapBound || n.files > filesBound {
		t.Errorf("%d MiB in use, %d files open", n.heap>>20, n.files)
	}
	violations := uint64(0)
	if t.Failed() {
		violations = 1
	}
	evidence.Record(t, evidence.Entry{
		Layer: "peers", What: what, Tried: uint64(3 * len(cases)), Unit: "fleets", Violations: violations,
		Detail: fmt.Sprintf("%d kinds, each beside a good peer, as three of four, and alone; %d blobs recovered byte for byte; at most %d MiB in use, %d files open",
			len(cases), recovered, n.heap>>20, n.files),
	})
}

// check is one case in one arrangement. It returns how many blobs were recovered.
func (n *node) check(t *testing.T, c hostile, bad, good int) (recovered int) {
	const login = "node:hush@"
	var peers []peer.Peer
	for range bad {
		url := n.start(t, c)
		peers = append(peers, newPatientPeer(t, strings.Replace(url, "://", "://"+login, 1)+"/{id}?key=hush", c.answer))
	}
	for range good {
		peers = append(peers, newPatientPeer(t, n.good.URL+"/{id}", 0))
	}
	pool := peertest.NewPool(t, c.limits, peers...)
	b := n.add(pool)
	outcome := n.sync(t, b)
	if good == 0 && outcome.Reason != c.want && !c.fickle {
		t.Errorf("%s: %s; want %s", outcome.Reason, outcome.Err, c.want)
	}
	recovered = n.checkBlob(t, c, b, outcome, good)
	var wg sync.WaitGroup // of the rest, for which they may not be asked any more
	var more atomic.Int64
	for range blobsEach - 1 {
		b := n.add(pool)
		wg.Go(func() { more.Add(int64(n.checkBlob(t, c, b, n.sync(t, b), good))) })
	}
	wg.Wait()
	n.checkStatus(t, c, pool.Status(), good)
	return recovered + int(more.Load())
}

// checkBlob holds what is stored of a blob against its outcome, and returns 1 if it was
// recovered.
func (n *node) checkBlob(t *testing.T, c hostile, b recovery.Blob, outcome recovery.Outcome, good int) (recovered int) {
	t.Helper()
	right, _ := n.blob(b.ID)
	switch stored := n.stored(t, b); {
	case outcome.Result == recovery.Success:
		recovered = 1
		if !bytes.Equal(stored, right) {
			t.Errorf("%d wrong bytes are stored", len(stored))
		}
		if good == 0 && c.want != "" && !c.fickle {
			t.Errorf("it was served by %s", outcome.Peer)
		}
	case stored != nil:
		t.Errorf("%d bytes are stored, and %s", len(stored), outcome.Err)
	case good > 0 || c.want == "":
		t.Errorf("not recovered: %s", outcome.Err)
	}
	if strings.Contains(outcome.Err+outcome.Peer, "hush") {
		t.Errorf("a secret is told: %+v", outcome)
	}
	n.weigh()
	return recovered
}

// checkStatus looks for the fault of each peer that has shown one. The good ones come
// last, and have none.
func (n *node) checkStatus(t *testing.T, c hostile, all []peer.PeerStatus, good int) {
	t.Helper()
	told := 0
	for i, s := range all {
		bad := i < len(all)-good
		faults := s.Absent + s.WrongBytes + s.Failed + s.Unreachable
		switch {
		case s.InFlight != 0 || strings.Contains(s.Name+s.LastError+s.Why, "hush"):
			t.Errorf("%+v", s)
		case !bad && (faults > 0 || s.LastError != ""):
			t.Errorf("the good one is blamed: %s", s.LastError)
		case !bad || faults == 0:
		case c.text == "" && s.LastError != "", !strings.Contains(s.LastError, c.text):
			t.Errorf("status says %q, want %q", s.LastError, c.text)
		default:
			told++
		}
	}
	if told == 0 && c.want != "" && !(c.fickle && good > 0) {
		t.Errorf("status names no fault")
	}
}

func (n *node) start(t *testing.T, c hostile) (url string) {
	t.Helper()
	if c.start != nil {
		return c.start(t)
	}
	return newRawServer(t, func(x *exchange) {
		id, err := recovery.ParseBlobID(strings.TrimPrefix(x.request.URL.Path, "/"))
		if err != nil {
			t.Errorf("asked for %s: %v", x.request.URL, err)
		}
		content, _ := n.blob(id)
		c.script(x, string(content))
	}).URL
}

// refusing returns an address that nobody listens on.
func refusing(t *testing.T) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return "http://" + listener.Addr().String()
}

package statusapi

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a worker whose facts a test sets.
type stage struct {
	mu     sync.Mutex
	status worker.Status
	list   []recovery.Unsettled
	err    error         // of Unsettled
	stuck  chan struct{} // non-nil: Unsettled waits for it
	waits  chan struct{} // non-nil: told when Unsettled begins to wait
	turned time.Time
	asked  int
}

func (s *stage) Status() worker.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *stage) LastTurn() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turned
}

func (s *stage) Unsettled(ctx context.Context) ([]recovery.Unsettled, error) {
	s.mu.Lock()
	s.asked++
	list, err, stuck := s.list, s.err, s.stuck
	s.mu.Unlock()
	if stuck != nil {
		if s.waits != nil {
			s.waits <- struct{}{}
		}
		select {
		case <-stuck:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return list, err
}

func idOf(b byte) recovery.BlobID {
	var id recovery.BlobID
	id[0], id[31] = b, 1
	return id
}

const secretPeer = "http://peer-a.internal:8080/blobs"

// sampleConfig describes a worker in the middle of its first pass, with every
// field set.
func sampleConfig() (Config, *stage) {
	bound := recovery.Bound{Stamp: recovery.Stamp{Network: "testnet", Epoch: 7, Position: 900}, Digest: recovery.Digest{0xab}}
	newest, covered := bound, bound
	newest.Position, covered.Position = 950, 400
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	w := &stage{turned: time.Now(), list: []recovery.Unsettled{
		{ID: idOf(0x30), Size: 4096, State: recovery.Fetching, Attempts: 1},
		{
			ID: idOf(0x41), Size: recovery.SizeUnknown, State: recovery.Parked, Tries: 10, Attempts: 14,
			FirstFailed: at.Add(-time.Hour), NextTry: at.Add(time.Minute), Reason: recovery.Absent,
			LastError: "no peer has it",
		},
	}}
	w.status = worker.Status{
		Status: recovery.Status{
			Phase: recovery.PhaseScanning, Why: "looking at the catalog up to position 900", Blocked: "no peer can be reached",
			Paused: true, Trouble: "catalog page: connection refused",
			Ownership: &shards.Ownership{Epoch: 7, TotalShards: 100, Owned: shards.Range(0, 39), Continuity: "a1", Node: shards.Active},
			Run:       3, Origin: recovery.Origin{Decision: recovery.Discard, Why: "shard 7 wiped", From: recovery.MarkAt(idOf(0x20))},
			Covered: &covered, Bound: &bound, Newest: &newest,
			Cursor: recovery.MarkAt(idOf(0x2f)), Scan: recovery.MarkAt(idOf(0x50)),
			CatalogBlobs: 1000, CatalogBytes: 4_096_000, PassBlobs: 700,
			Counters: recovery.Counters{
				Looked: 500, Stored: 120, StoredBytes: 491_520, AlreadyStored: 370, NotCertified: 3, Expired: 5,
				Cancelled: 21, Parkings: 1, Passes: 2, Resumes: 4,
			},
			Unsettled:     recovery.UnsettledCounts{Total: 2, Fetching: 1, Parked: 1},
			BytesInFlight: 4096,
			Peers:         recovery.PeerHealth{Reachable: 1, Total: 2, Returns: 6},
			Room:          recovery.Room{Free: 5 << 30, Min: 1 << 30},
		},
		At: at, Started: at.Add(-time.Minute), BlobsPerSecond: 12.5, BytesPerSecond: 51200,
		ETA:              &worker.ETA{LowSeconds: 20, HighSeconds: 75},
		Limits:           worker.Limits{Concurrency: 64, ConcurrencyMax: 1_024, BytesInFlight: 256 << 20, BytesPerSecond: 0},
		OwnershipTrouble: "shard 200 is owned, but total_shards is 100", OwnershipRefusals: 2, NoticesDropped: 1,
		ProgressAt: at.Add(-4 * time.Second), PutBacks: 2,
	}
	tip, failures := uint64(970), uint64(6)
	c := &controls{level: "info", limits: w.status.Limits}
	return Config{
		Worker: w, Control: c, Inspector: c, Limiter: c, LogLevel: c, Token: NewToken(sampleToken), Version: "1.2.3",
		Loop: func() worker.LoopStats {
			return worker.LoopStats{Busy: 3 * time.Second, Saving: time.Second, Saves: 44}
		},
		Peers: func() []PeerView {
			return []PeerView{
				{Name: secretPeer, State: "reachable", Fetched: 120, FetchedBytes: 491_520, BytesPerSecond: 51200, InFlight: 1,
					Why: "asked for pieces", Hedges: 5, HedgeWins: 4, AnswerP50Seconds: 0.01, AnswerP99Seconds: 0.25},
				{Name: "http://peer-b.internal", State: "unreachable", Absent: 2, WrongBytes: 1, Failed: 3, Unreachable: 15, Beaten: 4, Failovers: 2,
					Why: "not asked but probed, because a request got no answer", LastError: "connection refused", LastErrorAt: at},
			}
		},
		Checkpoint: func() CheckpointView {
			return CheckpointView{
				Path: "/var/lib/recoverd/checkpoint.db", Run: 3, Seq: 81, Cursor: recovery.MarkAt(idOf(0x2e)), SavedAt: at,
				Source: "mirror", Note: "checkpoint.db was damaged and set aside", Fallbacks: 1,
			}
		},
		Catalog: func() CatalogView {
			return CatalogView{
				Refusals: 1, Trouble: "catalog.rsnap: damaged at byte 17",
				Followed: &FollowedView{
					Position: 900, Epoch: 42, Tip: &tip, Base: 800, FirstEvent: 401, Failures: failures,
					Full:        SnapshotView{Position: 800, At: at.Add(-time.Hour), Every: 500, Failures: 1, Trouble: "no room"},
					Incremental: SnapshotView{Every: 100},
				},
			}
		},
		Store: func() StoreView {
			return StoreView{Root: "/blobs", Layout: "flat", Identity: "c0ffee", Foreign: true, Durability: "auto, now syncfs", Volumes: []VolumeView{{
				Path: "/blobs/3", Durability: "syncfs", Why: "nothing speaks against it", LastFlushMS: 12.5, GroupBlobs: 500, GroupBytes: 2_048_000,
				Flushes: []FlushesView{{"syncfs", 40, 0.5}, {"fdatasync", 2, 0.25}},
			}}}
		},
		AllowedHosts: []string{"node1.example:8080"}, ErrorLog: log.New(io.Discard, "", 0),
	}, w
}

func newServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serving runs one of a server's serve methods on a listener until the test
// ends, and checks that it then ends without an error. The returned function
// ends it sooner.
func serving(t *testing.T, serve func(context.Context, net.Listener) error, l net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// servingTCP serves everything on a free loopback port.
func servingTCP(t *testing.T, s *Server) (address string) {
	t.Helper()
	l, err := ListenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving(t, s.Serve, l)
	return l.Addr().String()
}

// golden compares with testdata/name, or rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

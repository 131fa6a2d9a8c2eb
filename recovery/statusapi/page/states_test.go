package page_test

import (
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/shards"
)

// document is the status as a daemon sends it.
type document struct {
	statusapi.Document
	Limits    *limits `json:"limits"`
	ETA       *eta    `json:"eta"`
	PassBlobs uint64  `json:"pass_blobs"`
	LogLevel  string  `json:"log_level"`
}

type limits struct {
	Concurrency    int   `json:"concurrency"`
	Auto           bool  `json:"auto"`
	ConcurrencyMin int   `json:"concurrency_min"`
	ConcurrencyMax int   `json:"concurrency_max"`
	BytesInFlight  int64 `json:"bytes_in_flight"`
	BytesPerSecond int64 `json:"bytes_per_second"`
}

type eta struct {
	LowSeconds  int64 `json:"low_seconds"`
	HighSeconds int64 `json:"high_seconds"`
}

type unsettledBlob struct {
	ID          string    `json:"id"`
	Size        *int64    `json:"size"`
	State       string    `json:"state"`
	Tries       uint32    `json:"tries"`
	Attempts    uint32    `json:"attempts"`
	FirstFailed time.Time `json:"first_failed,omitzero"`
	NextTry     time.Time `json:"next_try,omitzero"`
	Reason      string    `json:"reason"`
	LastError   string    `json:"last_error"`
}

type shardProgress struct {
	Shard     uint32  `json:"shard"`
	Certified *uint64 `json:"certified"`
	Done      *uint64 `json:"done"`
	Unsettled uint64  `json:"unsettled"`
	Parked    uint64  `json:"parked"`
}

type runEvent struct {
	At       time.Time `json:"at"`
	Run      uint64    `json:"run"`
	Decision string    `json:"decision"`
	Why      string    `json:"why"`
	From     string    `json:"from"`
}

// explanation and what is in it have the shape of GET blobs/{id}.
type explanation map[string]any

// hexID is an id that begins with the bytes of n, spread over the id space.
func hexID(n int) string { return fmt.Sprintf("%08x%056x", uint32(n)*2654435761, n) }

func idOf(n int) (id recovery.BlobID) {
	if err := id.UnmarshalText([]byte(hexID(n))); err != nil {
		panic(err)
	}
	return id
}

func ptr[T any](v T) *T { return &v }

// counted counts a list by state.
func counted(list []unsettledBlob) (c recovery.UnsettledCounts) {
	c.Total = len(list)
	for _, u := range list {
		switch u.State {
		case "waiting":
			c.Waiting++
		case "fetching":
			c.Fetching++
		case "flushing":
			c.Flushing++
		case "retrying":
			c.Retrying++
		case "parked":
			c.Parked++
		}
	}
	return c
}

// failedBlobs are n blobs that failed, in a state.
func failedBlobs(at time.Time, state string, from, n int) (list []unsettledBlob) {
	reasons := []string{"absent", "wrong_bytes", "peer_failed", "deadline"}
	errors := []string{
		"no peer has it", "peer-c sent 4,096 bytes with another digest", "peer-b: 503 Service Unavailable", "slower than 16 KiB/s for 30 s",
	}
	for i := range n {
		kind := i % len(reasons)
		u := unsettledBlob{
			ID: hexID(from + i), Size: ptr(int64(4096 << (i % 9))), State: state, Tries: uint32(3 + i%5), Attempts: uint32(4 + i%7),
			FirstFailed: at.Add(-time.Duration(5+i%90) * time.Minute), NextTry: at.Add(time.Duration(4+i%25) * time.Second),
			Reason: reasons[kind], LastError: errors[kind],
		}
		if state == "parked" {
			u.Tries, u.Attempts, u.NextTry = 10, uint32(12+i%7), at.Add(time.Duration(20+i%40)*time.Minute)
		}
		if i%11 == 5 {
			u.Size = nil
		}
		list = append(list, u)
	}
	return list
}

func inFlight(from, n int) (list []unsettledBlob) {
	for i := range n {
		u := unsettledBlob{ID: hexID(from + i), Size: ptr(int64(1 << 20)), State: "fetching", Attempts: 1}
		if i%4 == 0 {
			u.State = "flushing"
		}
		list = append(list, u)
	}
	return list
}

// ownedShards are n shards, each done up to what share says; nil: not counted.
func ownedShards(n int, share func(shard int) *float64) (list []shardProgress) {
	for i := range n {
		s := shardProgress{Shard: uint32(i)}
		if part := share(i); part != nil {
			s.Certified, s.Done = ptr(uint64(1_000)), ptr(uint64(1_000**part))
		}
		list = append(list, s)
	}
	return list
}

// empty is a daemon that has just started and waits for its ownership.
func empty() facts {
	at := time.Now().UTC().Truncate(time.Second)
	doc := document{Document: statusapi.Document{
		Version: "1.2.3", Running: true, At: at, Started: at.Add(-3 * time.Second), Phase: "waiting", Why: "ownership is not known yet",
	}, Limits: &limits{Concurrency: 64, Auto: true, ConcurrencyMin: 4, ConcurrencyMax: 1_024, BytesInFlight: 256 << 20}, LogLevel: "info"}
	return facts{doc: doc, shards: []shardProgress{}, history: []runEvent{}}
}

// scanning is a daemon in the middle of its first pass, with nothing amiss.
func scanning() facts {
	f := empty()
	at := f.doc.At
	bound := recovery.Bound{Stamp: recovery.Stamp{Network: "testnet", Epoch: 7, Position: 1_204_551}, Digest: recovery.Digest{0xab}}
	d := &f.doc
	d.Started = at.Add(-42 * time.Minute)
	d.Phase, d.Why = "scanning", "looking at the catalog up to position 1204551"
	d.Ownership = &shards.Ownership{Epoch: 7, TotalShards: 100, Owned: shards.Range(0, 39), Continuity: "a1", Node: shards.Active}
	d.Run, d.Origin = 3, recovery.Origin{Decision: recovery.Resume, Why: "the recorded pass goes on", From: recovery.MarkAt(idOf(1))}
	d.Bound, d.Newest = &bound, &bound
	mark := func(first byte) recovery.Mark {
		id := idOf(5)
		id[0] = first
		return recovery.MarkAt(id)
	}
	d.Cursor, d.CursorDurable, d.Scan = mark(0x91), ptr(mark(0x8f)), mark(0x9c)
	d.CatalogBlobs, d.CatalogBytes = ptr(uint64(1_204_000)), ptr(int64(5_120<<30))
	d.Counters = recovery.Counters{
		Looked: 734_440, Stored: 96_101, StoredBytes: 402 << 30, AlreadyStored: 197_004, NotCertified: 31, Expired: 402, Cancelled: 214, Resumes: 2,
	}
	f.list = inFlight(100, 48)
	d.Unsettled, d.BytesInFlight = counted(f.list), 48<<20
	d.BlobsPerSecond, d.BytesPerSecond = 812.4, 214<<20
	d.ETA = &eta{LowSeconds: 760, HighSeconds: 1510}
	d.PeersReachable, d.PeersTotal = 3, 3
	d.Peers = []statusapi.PeerView{
		{Name: "http://peer-a.internal:8080/blobs", State: "reachable", Fetched: 51_020, FetchedBytes: 211 << 30, Absent: 12, BytesPerSecond: 112 << 20, InFlight: 24,
			Why: "asked for pieces", AnswerP50Seconds: 0.0042, AnswerP99Seconds: 0.31},
		{Name: "http://peer-b.internal:8080/blobs", State: "reachable", Fetched: 40_201, FetchedBytes: 170 << 30, Absent: 801, Failed: 4, Beaten: 31, Why: "asked for pieces", BytesPerSecond: 96 << 20, InFlight: 20,
			LastError: "503 Service Unavailable", LastErrorAt: at.Add(-11 * time.Minute)},
		{Name: "https://archive.example/v2/app/blobs", State: "reachable", Fetched: 4_880, FetchedBytes: 21 << 30, BytesPerSecond: 6 << 20, InFlight: 1, Failed: 6,
			Why: "one request at a time until it answers, after 6 failures in a row", LastError: "status 403 Forbidden", LastErrorAt: at.Add(-9 * time.Second)},
	}
	d.Room = &statusapi.RoomView{FreeBytes: 812 << 30, MinFreeBytes: 50 << 30}
	d.Checkpoint = &statusapi.CheckpointView{
		Path: "/var/lib/recoverd", Run: 3, Seq: 20_411, Cursor: *d.CursorDurable, SavedAt: at.Add(-time.Second), Source: "database",
	}
	d.Store = &statusapi.StoreView{Root: "/srv/blobs", Layout: "fanned", Identity: "c0ffee5e", Durability: "syncfs for each group"}
	f.shards = ownedShards(40, func(i int) *float64 { return ptr(0.4 + float64(i*37%60)/100) })
	f.history = []runEvent{
		{At: at.Add(-42 * time.Minute), Run: 3, Decision: "resume", Why: "the recorded pass goes on", From: hexID(1)},
		{At: at.Add(-5 * time.Hour), Run: 3, Decision: "discard", Why: "shard 7 wiped", From: hexID(9)},
		{At: at.Add(-50 * time.Hour), Run: 2, Decision: "fresh", Why: "there was no progress", From: "none"},
	}
	f.blobs = map[string]explanation{}
	return f
}

// draining is at the end of its pass, with blobs that fail and a peer that lies.
func draining() facts {
	f := scanning()
	d := &f.doc
	d.Phase, d.Why = "draining", "every id was handed out; 31 unsettled"
	d.Covered, d.Scan, d.Counters.Passes, d.Counters.Looked = d.Bound, recovery.MarkEnd(), 1, 1_204_000
	d.Counters.Parkings, d.Counters.Cancelled = 12, 4_310
	f.list = append(failedBlobs(d.At, "parked", 1, 7), failedBlobs(d.At, "retrying", 20, 16)...)
	f.list = append(f.list, inFlight(100, 8)...)
	d.Unsettled, d.BytesInFlight = counted(f.list), 8<<20
	d.BlobsPerSecond, d.BytesPerSecond, d.ETA = 3.2, 5<<20, nil
	d.Peers[2].WrongBytes, d.Peers[2].State = 14, "resting"
	d.Peers[2].LastError, d.Peers[2].LastErrorAt = "blob 3f…: digest differs", d.At.Add(-20*time.Second)
	f.shards = ownedShards(40, func(i int) *float64 { return ptr(1.0) })
	for i := range f.shards {
		if i%9 == 4 {
			f.shards[i].Done, f.shards[i].Unsettled = ptr(uint64(997)), 3
		}
		if i%14 == 4 {
			f.shards[i].Parked = 1
		}
	}
	parked := f.list[0].ID
	f.blobs = map[string]explanation{parked: parkedBlob(f, parked)}
	return f
}

// parkedBlob explains the first parked blob.
func parkedBlob(f facts, id string) explanation {
	at := f.doc.At
	return explanation{
		"id": id, "at": at, "stamp": map[string]any{"network": "testnet", "epoch": 7, "position": 1_204_551}, "certified": true, "certified_error": "",
		"row":             map[string]any{"size": 4096, "encoding": "replicated", "certified_epoch": 3, "end_epoch": 90, "gained": 40_110, "expired": false},
		"ownership_epoch": 7, "shards": []map[string]any{{"shard": 17, "owned": true, "stored": false}, {"shard": 71, "owned": false, "stored": nil}},
		"state": "parked", "why": "no reachable peer has it; it was tried 12 times and is tried again every few minutes",
		"entry": f.list[0], "started": at.Add(-42 * time.Minute), "liars": []string{"https://archive.example/v2/app/blobs"},
		"tries": []map[string]any{
			{"at": at.Add(-9 * time.Minute), "outcome": "cancelled", "reason": "wrong_bytes", "err": "digest differs", "peers": []map[string]string{
				{"peer": "http://peer-a.internal:8080/blobs", "reason": "absent", "err": "404 Not Found"},
				{"peer": "https://archive.example/v2/app/blobs", "reason": "wrong_bytes", "err": "digest differs"},
			}},
			{"at": at.Add(-2 * time.Minute), "outcome": "cancelled", "reason": "absent", "err": "no peer has it", "peers": []map[string]string{
				{"peer": "http://peer-a.internal:8080/blobs", "reason": "absent", "err": "404 Not Found"},
			}},
		},
	}
}

// incomplete has parked blobs only.
func incomplete() facts {
	f := draining()
	d := &f.doc
	f.list = f.list[:7]
	d.Phase, d.Why = "incomplete", "all is settled but 7 parked"
	d.Unsettled, d.BytesInFlight, d.BlobsPerSecond, d.BytesPerSecond = counted(f.list), 0, 0, 0
	return f
}

// complete is done.
func complete() facts {
	f := scanning()
	d := &f.doc
	f.list = nil
	d.Phase, d.Why = "complete", "complete at epoch 7, position 1204551"
	d.Covered, d.Scan, d.Cursor, d.CursorDurable = d.Bound, recovery.MarkEnd(), recovery.MarkEnd(), ptr(recovery.MarkEnd())
	d.Counters.Looked, d.Counters.Passes, d.Counters.Cancelled = 1_204_000, 1, 214
	d.Unsettled, d.BytesInFlight, d.BlobsPerSecond, d.BytesPerSecond, d.ETA = counted(nil), 0, 0, 0, nil
	d.Checkpoint.SavedAt = d.At.Add(-4 * time.Hour)
	f.shards = ownedShards(40, func(int) *float64 { return ptr(1.0) })
	return f
}

// secondPass looks at what came after a finished pass.
func secondPass() facts {
	f := scanning()
	d := &f.doc
	covered, next := *d.Bound, *d.Bound
	next.Position += 5_000
	d.Covered, d.Bound, d.Newest = &covered, &next, &next
	d.Why = "looking at the catalog up to position 1209551"
	d.Origin = recovery.Origin{Decision: recovery.Extend, Why: "the catalog moved to position 1209551"}
	d.Counters.Passes, d.Counters.Looked, d.PassBlobs, d.ETA = 1, 12, 400, nil
	f.list = nil
	d.Unsettled = counted(nil)
	return f
}

func halted() facts {
	f := scanning()
	f.doc.Phase, f.doc.Why, f.doc.BlobsPerSecond, f.doc.BytesPerSecond, f.doc.ETA = "halted", "save progress: fdatasync: input/output error", 0, 0, nil
	return f
}

func paused() facts {
	f := scanning()
	f.doc.Paused, f.doc.Blocked = true, "paused"
	return f
}

// outage is a scan that waits for its peers.
func outage() facts {
	f := scanning()
	d := &f.doc
	d.Blocked, d.PeersReachable, d.BlobsPerSecond, d.BytesPerSecond, d.ETA = "no peer can be reached", 0, 0, 0, nil
	f.list = failedBlobs(d.At, "retrying", 1, 64)
	for i := range f.list {
		f.list[i].Reason, f.list[i].LastError, f.list[i].Tries = "unreachable", "connection refused", 0
	}
	d.Unsettled, d.BytesInFlight = counted(f.list), 0
	for i := range d.Peers {
		d.Peers[i].State, d.Peers[i].Unreachable, d.Peers[i].LastError, d.Peers[i].LastErrorAt = "unreachable", 40, "connection refused", d.At.Add(-2*time.Second)
		d.Peers[i].BytesPerSecond, d.Peers[i].InFlight = 0, 0
	}
	return f
}

// storeEmpty waits for a disk that is not mounted.
func storeEmpty() facts {
	f := scanning()
	d := &f.doc
	d.Phase, d.Why = "waiting", "the store is empty but 812,334 blobs were settled: is the disk mounted? If it is meant: recoverd store accept"
	d.BlobsPerSecond, d.BytesPerSecond, d.ETA, d.BytesInFlight = 0, 0, nil, 0
	f.list, f.shards = nil, []shardProgress{}
	d.Unsettled = counted(nil)
	return f
}

// huge has as much of everything as there can be.
func huge() facts {
	f := draining()
	d := &f.doc
	f.list = append(failedBlobs(d.At, "retrying", 1, 9_000), failedBlobs(d.At, "parked", 20_000, 1_000)...)
	d.Unsettled = counted(f.list)
	d.Why = "every id was handed out; 10000 unsettled"
	d.Ownership.TotalShards, d.Ownership.Owned = 1_000, shards.Range(0, 999)
	f.shards = ownedShards(1_000, func(i int) *float64 {
		if i%97 == 3 {
			return nil
		}
		return ptr(min(1, 0.2+float64(i*7919%1000)/900))
	})
	for i := range f.shards {
		if f.shards[i].Done != nil && *f.shards[i].Done < 1_000 && i%3 == 0 {
			f.shards[i].Unsettled = 20
		}
		if i%41 == 7 {
			f.shards[i].Unsettled, f.shards[i].Parked = 20, 4
		}
	}
	f.history = nil
	for i := range 100 {
		f.history = append(f.history, runEvent{At: d.At.Add(-time.Duration(i) * time.Hour), Run: uint64(100 - i), Decision: "resume", Why: "the recorded pass goes on", From: hexID(i)})
	}
	return f
}

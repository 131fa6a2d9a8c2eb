package recovery

import (
	"encoding/binary"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// TestMain makes the random histories count: rapid's own default of 100 finds
// little.
func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("5000")
	}
	os.Exit(m.Run())
}

// runningMachine returns a machine that scans; every shard is owned.
func runningMachine(tb testing.TB, cfg Config) (*Machine, ReadPage) {
	m, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	var page ReadPage
	pending := m.Start()
	for len(pending) > 0 {
		effect := pending[0]
		pending = pending[1:]
		var answer Event
		switch e := effect.(type) {
		case LoadCheckpoint:
			answer = Loaded{}
		case TakeBound:
			answer = BoundTaken{e.Seq, Tip{Bound: Bound{Stamp: Stamp{"net", 1, 1}}, Static: true}}
		case OpenStore:
			answer = StoreOpened{Seq: e.Seq}
		case Save:
			answer = Saved{e.Seq}
		case ReadPage:
			page = e
		}
		if answer != nil {
			pending = append(pending, mustStep(tb, m, answer)...)
		}
		if _, first := effect.(LoadCheckpoint); first {
			pending = append(pending, mustStep(tb, m, OwnershipSeen{shards.Ownership{Epoch: 1, TotalShards: 100, Owned: shards.Range(0, 99), Node: shards.Active}})...)
		}
	}
	return m, page
}

func mustStep(tb testing.TB, m *Machine, e Event) []Effect {
	effects, err := m.Step(e)
	if err != nil {
		tb.Fatal(err)
	}
	return append([]Effect(nil), effects...)
}

func fillRows(rows []Row, from uint64, stored bool) {
	for i := range rows {
		rows[i] = Row{Blob: Blob{Size: 4096, Encoding: Raw}, CertifiedEpoch: 1, EndEpoch: EpochForever, Gained: 1, Stored: stored}
		binary.BigEndian.PutUint64(rows[i].ID[:], from+uint64(i)+1)
	}
}

// BenchmarkStoredRows feeds pages in which everything is stored; one operation
// is one blob.
func BenchmarkStoredRows(b *testing.B) {
	m, page := runningMachine(b, Config{})
	b.ReportAllocs()
	b.ResetTimer()
	var at uint64
	for done := 0; done < b.N; done += len(page.Buf) {
		b.StopTimer()
		fillRows(page.Buf, at, true)
		b.StartTimer()
		at += uint64(len(page.Buf))
		effects, err := m.Step(PageRead{page.Seq, page.Buf, PageInfo{Stamp: Stamp{"net", 1, 1}, N: len(page.Buf)}})
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range effects {
			if e, ok := e.(ReadPage); ok {
				page = e
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blobs/s")
}

// BenchmarkSettlements hands out missing blobs and settles them, with saves
// answered at once; one operation is one blob, from row to settled.
func BenchmarkSettlements(b *testing.B) {
	m, page := runningMachine(b, Config{Slots: 256, BytesInFlight: 1 << 40})
	covers := Covers{Total: 100, Owned: shards.Range(0, 99)}
	var queue []Effect
	next := func(e Event) {
		effects, err := m.Step(e)
		if err != nil {
			b.Fatal(err)
		}
		queue = append(queue, effects...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var at uint64
	pages := []ReadPage{page}
	for done, now := 0, time.Duration(0); done < b.N; {
		if len(queue) == 0 {
			page, pages = pages[0], pages[1:]
			fillRows(page.Buf, at, false)
			at += uint64(len(page.Buf))
			now += time.Millisecond
			next(Tick{Now: now})
			next(PageRead{page.Seq, page.Buf, PageInfo{Stamp: Stamp{"net", 1, 1}, N: len(page.Buf)}})
			continue
		}
		effect := queue[0]
		queue = queue[1:]
		switch e := effect.(type) {
		case Sync:
			done++
			next(Synced{Run: e.Run, Seq: e.Seq, ID: e.Blob.ID, Outcome: Outcome{Result: Success, Covers: covers}})
		case Save:
			next(Saved{e.Seq})
		case ReadPage:
			pages = append(pages, e)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "settled/s")
}

// TestStoredRowsAllocateNothing holds the machine to no allocation per stored
// blob.
func TestStoredRowsAllocateNothing(t *testing.T) {
	m, page := runningMachine(t, Config{PageRows: 4096})
	at := uint64(0)
	allocs := testing.AllocsPerRun(50, func() {
		fillRows(page.Buf, at, true)
		at += uint64(len(page.Buf))
		effects, err := m.Step(PageRead{page.Seq, page.Buf, PageInfo{Stamp: Stamp{"net", 1, 1}, N: len(page.Buf)}})
		if err != nil {
			t.Fatal(err)
		}
		page = effects[0].(ReadPage)
	})
	if allocs > 8 {
		t.Errorf("a page of %d stored blobs made %v allocations, want a handful for the page", len(page.Buf), allocs)
	}
}

package worker_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards/provider"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// setup is what a process consists of; a test changes parts of it.
type setup struct {
	worker worker.Config // Checkpoint and Syncer are filled in where they are nil
	syncer syncer.Config
	store  mem.Config
	blind  bool // nothing tells the worker what transfers do

	// onFetch is called before the pool is asked for a blob for the n-th time; an
	// error of its takes the place of asking.
	onFetch func(ctx context.Context, id recovery.BlobID, n int) error
	// onSave is called before a record is written; an error of its takes the
	// place of writing.
	onSave func(recovery.Record) error
}

// process is one life of the daemon.
type process struct {
	world   *world
	worker  *worker.Worker
	handler *syncer.Handler
	ledger  *provider.Ledger
	fetches *fetches
	traffic *traffic
	desk    *desk
	notices *notebook

	cancel  context.CancelFunc
	ended   chan struct{} // closed when Run has returned
	result  worker.Result
	err     error
	closing sync.Once
	close   func()
}

// start wires a process and runs it until the test or the worker ends.
func (w *world) start(change ...func(*setup)) *process {
	w.t.Helper()
	p := &process{world: w, ledger: provider.NewLedger("the test", time.Now), notices: &notebook{}, ended: make(chan struct{})}
	p.ledger.Document(w.own.document())
	pool, err := peer.New(peer.Config{}, w.peers[0], w.peers[1])
	p.must(err)
	p.fetches = &fetches{pool: pool, asked: map[recovery.BlobID]int{}}
	p.desk = &desk{Backend: w.backend()}
	s := setup{
		syncer: syncer.Config{Fetcher: p.fetches},
		worker: worker.Config{
			Ownership: p.ledger, Catalog: w.catalog, Follower: w.catalog, Peers: pool, Delays: &syncer.Retry{},
			Observers: []worker.Observer{p.notices}, Liars: pool, Bandwidth: pool,
		},
	}
	for _, c := range change {
		c(&s)
	}
	store, err := mem.Open(w.disk, s.store)
	p.must(err)
	s.worker.Pieces = store
	p.traffic = &traffic{process: p, pool: pool}
	if !s.blind {
		s.worker.Load = p.traffic
	}
	if s.worker.Store == nil {
		s.worker.Store, s.syncer.Store = store, store
	} else {
		s.worker.Store.(*pageCache).use(store)
	}
	p.fetches.before, p.desk.before = s.onFetch, s.onSave
	p.handler, err = syncer.New(s.syncer)
	p.must(err)
	keeper := checkpoint.NewKeeper(p.desk)
	if s.worker.Checkpoint == nil {
		s.worker.Checkpoint = keeper
	}
	s.worker.Syncer = p.handler
	p.worker, err = worker.New(s.worker)
	p.must(err)
	p.close = func() {
		_ = p.handler.Close() // a test that fails a flush or a save knows it
		p.must(pool.Close())
		_ = keeper.Close()
		p.must(store.Close())
	}
	p.run()
	return p
}

// traffic is a process's Load.
type traffic struct {
	process *process
	pool    *peer.Pool
	signs   atomic.Uint64 // of overload, besides those of the pool
}

func (t *traffic) Received() uint64 { return t.process.handler.Received() }
func (t *traffic) Overload() uint64 { return t.pool.Overload() + t.signs.Load() }

func (p *process) must(err error) {
	if err != nil {
		p.world.t.Helper()
		p.world.t.Fatalf("%v", err)
	}
}

func (p *process) run() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.world.running = p
	go func() {
		defer close(p.ended)
		p.result, p.err = p.worker.Run(ctx)
	}()
	p.world.t.Cleanup(func() {
		p.desk.cut.Store(true)
		cancel()
		<-p.ended
		p.closeAll()
	})
}

// closeAll closes what the worker used, once it has ended.
func (p *process) closeAll() {
	p.closing.Do(func() {
		if p.world.running == p {
			p.world.running = nil
		}
		p.close()
	})
}

// wait waits for Run to return within limit, and closes what it used.
func (p *process) wait(limit time.Duration) (worker.Result, error) {
	p.world.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.world.t.Fatalf("Run has not returned within %v: %+v", limit, p.worker.Status())
	}
	p.closeAll()
	return p.result, p.err
}

// finish waits for Run to return without an error.
func (p *process) finish(limit time.Duration) worker.Result {
	p.world.t.Helper()
	result, err := p.wait(limit)
	p.must(err)
	return result
}

// stop stops the worker in good order.
func (p *process) stop() worker.Result {
	p.world.t.Helper()
	p.cancel()
	return p.finish(time.Minute)
}

var errCut = errors.New("the process is dead")

// crash ends the process between two instructions: what it had written is there,
// nothing is written any more, and of the disk what losing leaves.
func (p *process) crash(losing func(*mem.Disk)) {
	p.desk.cut.Store(true)
	losing(p.world.disk)
	p.cancel()
	<-p.ended
	p.closeAll()
}

// until waits for the status to fulfil a condition.
func (p *process) until(what string, limit time.Duration, ok func(worker.Status) bool) worker.Status {
	p.world.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s := p.worker.Status(); ok(s) {
			return s
		}
	}
	p.world.t.Fatalf("not within %v: %s; status %+v", limit, what, p.worker.Status())
	return worker.Status{}
}

func (p *process) untilPhase(phase recovery.Phase, limit time.Duration) worker.Status {
	p.world.t.Helper()
	return p.until(phase.String(), limit, func(s worker.Status) bool { return s.Phase == phase })
}

// fetches asks the pool, and knows what was asked.
type fetches struct {
	pool   syncer.Fetcher
	before func(ctx context.Context, id recovery.BlobID, n int) error

	mu        sync.Mutex
	asked     map[recovery.BlobID]int
	total     int
	now, most int // under way
}

func (f *fetches) Fetch(ctx context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	f.mu.Lock()
	f.asked[p.Blob.ID]++
	n := f.asked[p.Blob.ID]
	f.total++
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if f.before != nil {
		if err := f.before(ctx, p.Blob.ID, n); err != nil {
			return "", err
		}
	}
	return f.pool.Fetch(ctx, p, sink)
}

// count returns how many fetches began, and the most that were under way at once.
func (f *fetches) count() (total, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total, f.most
}

func (f *fetches) of(id recovery.BlobID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[id]
}

// desk is where records are written. It counts the writes that were begun.
type desk struct {
	checkpoint.Backend
	before func(recovery.Record) error
	writes atomic.Int64
	cut    atomic.Bool // nothing is written any more
}

func (d *desk) Save(r recovery.Record) error  { return d.write(r, d.Backend.Save) }
func (d *desk) Reset(r recovery.Record) error { return d.write(r, d.Backend.Reset) }

func (d *desk) write(r recovery.Record, write func(recovery.Record) error) error {
	if d.cut.Load() {
		return errCut
	}
	d.writes.Add(1)
	if d.before != nil {
		if err := d.before(r); err != nil {
			return err
		}
	}
	return write(r)
}

// notebook is an observer that keeps what it is told.
type notebook struct {
	mu   sync.Mutex
	told []worker.Notice
}

func (n *notebook) Observe(notice worker.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, notice)
}

// told returns the notices of one type, in order.
func told[T worker.Notice](n *notebook) (notices []T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, notice := range n.told {
		if t, ok := notice.(T); ok {
			notices = append(notices, t)
		}
	}
	return notices
}

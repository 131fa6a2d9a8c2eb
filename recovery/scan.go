package recovery

import (
	"fmt"
	"time"
)

// scanState is the walk through the catalog: at most two pages in memory, one
// being consumed and one ahead, and two buffers that go back and forth.
type scanState struct {
	after   Mark // where the next page begins
	asking  uint64
	pages   []page
	spare   [][]Row
	waits   bool          // the next row wants a slot or bytes
	since   time.Duration // when it began to
	ended   bool          // the source says that nothing follows the last page
	pass    uint64        // PageInfo.Pass of the last page
	from    Mark          // where this process's part of the pass began
	tally   []uint64      // of the rows looked at since that no earlier pass covered; see tallyAt
	retryAt time.Duration
	delay   time.Duration
	trouble trouble
}

type page struct {
	rows []Row
	next int // index of the first row not looked at
	last bool
}

// wait notes that a row wants room.
func (s *scanState) wait(now time.Duration) {
	if !s.waits {
		s.waits, s.since = true, now
	}
}

// scanStarves reports whether retries have kept the next row waiting for longer
// than any of them waits: a blob larger than the budget needs all of it.
func (m *Machine) scanStarves() bool {
	return m.scan.waits && m.now-m.scan.since >= RetryMax && m.run.bytes > 0
}

// pagesAhead is how many pages are asked for before they are needed.
const pagesAhead = 2

func (m *Machine) onPage(e PageRead) {
	s := &m.scan
	if !m.run.on || e.Seq != s.asking || e.Seq == 0 {
		return
	}
	s.asking = 0
	if err := m.checkPage(e); err != nil {
		s.spare = append(s.spare, e.Rows)
		m.pageFails(err)
		return
	}
	s.trouble.ends(m, "catalog page")
	s.delay = 0
	s.pages = append(s.pages, page{rows: e.Rows[:e.Info.N], last: e.Info.End})
	if s.tally == nil {
		s.tally = make([]uint64, m.tallies())
	}
	if e.Info.N > 0 {
		s.after = MarkAt(e.Rows[e.Info.N-1].ID)
	}
	s.ended, s.pass = e.Info.End, e.Info.Pass
}

// checkPage refuses what a pass must not build on (I8): an answer from before
// the bound, ids out of order, and an end that is not one.
func (m *Machine) checkPage(e PageRead) error {
	if bound := m.run.front.bound; !e.Info.Stamp.Reaches(bound) {
		return fmt.Errorf("the answer is for %s at epoch %d, position %d; this pass goes up to %s",
			e.Info.Stamp.Network, e.Info.Stamp.Epoch, e.Info.Stamp.Position, bound)
	}
	if e.Info.N == 0 && !e.Info.End {
		return fmt.Errorf("an empty page after %v is not the end", m.scan.after)
	}
	prev := m.scan.after
	for i := range e.Rows[:e.Info.N] {
		if prev.Covers(e.Rows[i].ID) {
			return fmt.Errorf("ids are not strictly increasing: %v follows %v", e.Rows[i].ID, prev)
		}
		prev.kind, prev.id = markAt, e.Rows[i].ID
	}
	return nil
}

func (m *Machine) onPageFailed(e PageFailed) {
	if m.run.on && e.Seq == m.scan.asking && e.Seq != 0 {
		m.scan.asking = 0
		m.pageFails(e.Err)
	}
}

func (m *Machine) pageFails(err error) {
	m.scan.trouble.fails(m, "catalog page", err)
	m.scan.delay = backoff(m.scan.delay)
	m.scan.retryAt = m.now + m.scan.delay
}

// scanPages hands out rows as far as the limits allow, reads ahead, and ends
// the pass when every row was looked at.
func (m *Machine) scanPages() {
	s := &m.scan
	if m.run.front.passDone() {
		return
	}
	for len(s.pages) > 0 && !m.idle() {
		p := &s.pages[0]
		m.lookAtPage(p)
		if p.next < len(p.rows) {
			break // no room; an answer will make some
		}
		last := p.last
		s.spare = append(s.spare, p.rows)
		s.pages = append(s.pages[:0], s.pages[1:]...)
		if last {
			m.endPass()
			return
		}
	}
	if len(s.pages) < pagesAhead && s.asking == 0 && m.follow.asking == 0 && !s.ended && !m.idle() && m.now >= s.retryAt {
		s.asking = m.nextSeq()
		m.emit(ReadPage{Run: m.run.number, Seq: s.asking, After: s.after, Since: m.run.front.covered, Buf: m.buffer()})
	}
}

func (m *Machine) buffer() []Row {
	if n := len(m.scan.spare); n > 0 {
		buf := m.scan.spare[n-1]
		m.scan.spare = m.scan.spare[:n-1]
		return buf[:cap(buf)]
	}
	return make([]Row, m.cfg.PageRows)
}

// lookAtPage moves the scan position past the rows that were decided about.
func (m *Machine) lookAtPage(p *page) {
	first := p.next
	for p.next < len(p.rows) && m.lookAt(&p.rows[p.next]) {
		p.next++
	}
	if p.next > first {
		m.run.front.scan = MarkAt(p.rows[p.next-1].ID)
		m.run.counters.Looked += uint64(p.next - first)
		m.save.dirty = true
	}
}

// lookAt decides about one row; false says that there is no room for its sync now.
// It allocates nothing for a row that needs no sync.
func (m *Machine) lookAt(row *Row) bool {
	f, c := m.run.front, &m.run.counters
	at, concerned := m.tallyAt(row.ID)
	counted := concerned
	switch {
	case !concerned:
	case f.covered != nil && row.Within(*f.covered):
		counted = false // earlier passes finished it, or keep it in the list (I7)
	case len(f.list) > 0 && f.list[row.ID] != nil:
		// It is unsettled already and stays so (I9). What is under way may have stored it
		// before it was deleted, and certified again within this bound.
		if e := f.list[row.ID]; e.seq != 0 && (row.Gained != e.row.Gained || row.CertifiedEpoch != e.row.CertifiedEpoch) {
			e.lost = true
		}
	case row.EndEpoch <= m.epochNow():
		c.Expired++
	case row.Stored:
		c.AlreadyStored++
	default:
		if m.scanBlocked() != "" || m.retryWaits() {
			return false
		}
		if !m.slotFor(row.Size) {
			m.scan.wait(m.now)
			return false
		}
		m.scan.waits = false
		e := f.insert(Unsettled{ID: row.ID, Size: row.Size, State: Waiting})
		e.row = *row
		m.startSync(e)
	}
	if counted {
		m.scan.tally[at]++
	}
	return true
}

// scanBlocked says why no new blob may be handed out, or "".
func (m *Machine) scanBlocked() string {
	f := m.run.front
	switch {
	case m.peers.Total > 0 && m.peers.Reachable == 0:
		return "no peer can be reached" // hazard 29
	case m.room.Low:
		return m.room.String()
	case f.active() >= m.cfg.Unsettled:
		return fmt.Sprintf("the unsettled list is full (%d)", m.cfg.Unsettled)
	case f.parked() >= m.cfg.Parked:
		return fmt.Sprintf("the list of parked blobs is full (%d)", m.cfg.Parked)
	}
	return ""
}

// listFull reports whether the scan waits for room in the unsettled list.
func (m *Machine) listFull() bool {
	f := m.run.front
	return f.active() >= m.cfg.Unsettled || f.parked() >= m.cfg.Parked
}

// endPass claims the pass: every blob of the bound is settled or in the list
// (I7). A newer bound that is known already, from a restart or a full list, begins
// its pass at once; otherwise followCatalog finds out.
func (m *Machine) endPass() {
	f := m.run.front
	bound := f.bound
	f.covered = &bound
	f.scan = MarkEnd()
	m.run.counters.Passes++
	m.uncheck()
	m.scan = scanState{ended: true, spare: m.scan.spare}
	m.save.dirty, m.save.forced = true, true
	m.follow.hinted = true
	if m.tip.Position > bound.Position {
		m.followTo(*m.tip)
	}
}

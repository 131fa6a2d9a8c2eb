package recovery

import (
	"slices"
	"time"

	"github.com/recoverd/recoverd/shards"
)

// Status is what the machine knows, for people and programs. It never flatters:
// nothing in it is derived from the cursor, and "complete" is a phase, not a
// percentage (hazards 36 to 39).
type Status struct {
	Phase   Phase  `json:"phase"`
	Why     string `json:"why"`     // what the phase means now, in a sentence
	Blocked string `json:"blocked"` // why nothing new is handed out, or ""
	Paused  bool   `json:"paused"`

	Ownership *shards.Ownership `json:"ownership"`
	Run       uint64            `json:"run"`
	Origin    Origin            `json:"origin"`
	Covered   *Bound            `json:"covered"`
	Bound     *Bound            `json:"bound"`
	Newest    *Bound            `json:"newest"` // the catalog's, when last looked at
	Cursor    Mark              `json:"cursor"`
	Scan      Mark              `json:"scan"`

	// CatalogBlobs counts the certified blobs of the bound, on all shards;
	// CatalogBytes is their size, or SizeUnknown. Counters.Looked of them were
	// looked at in this pass.
	CatalogBlobs uint64 `json:"catalog_blobs"`
	CatalogBytes int64  `json:"catalog_bytes"`
	// PassBlobs is how many blobs this pass meets at most, where the catalog leaves
	// out those that did not change since Covered; 0: it does not.
	PassBlobs uint64   `json:"pass_blobs"`
	Counters  Counters `json:"counters"`
	// Unsettled counts the entries of the list by state.
	Unsettled     UnsettledCounts `json:"unsettled"`
	BytesInFlight int64           `json:"bytes_in_flight"`

	Peers   PeerHealth `json:"peers"`
	Room    Room       `json:"room"`
	Trouble string     `json:"trouble"` // the last read error that still stands
}

// UnsettledCounts counts the unsettled list by state.
type UnsettledCounts struct {
	Total    int `json:"total"`
	Waiting  int `json:"waiting"`
	Fetching int `json:"fetching"`
	Flushing int `json:"flushing"`
	Retrying int `json:"retrying"`
	Parked   int `json:"parked"`
}

// Phase returns where the machine stands.
func (m *Machine) Phase() Phase { return m.phase }

// Status returns a copy of what is known now. It costs time in proportion to
// the unsettled list.
func (m *Machine) Status() Status {
	s := Status{
		Phase: m.phase, Why: m.why, Paused: m.paused, Ownership: m.own, Peers: m.peers, Room: m.room,
		CatalogBytes: SizeUnknown, Trouble: m.trouble(),
	}
	if m.tip != nil {
		newest := m.tip.Bound
		s.Newest, s.CatalogBlobs, s.CatalogBytes = &newest, m.tip.Blobs, m.tip.Bytes
	}
	p := m.prior
	if m.run.on {
		s.Why, s.Blocked, s.BytesInFlight = m.explain(m.phase), m.blocked(), m.run.bytes
		s.Unsettled = m.run.front.countStates()
		m.describe(&s, m.run.number, m.run.origin, m.run.front.covered, m.run.front.bound, m.run.counters)
		s.Cursor, s.Scan = m.run.front.cursor(), m.run.front.scan
		s.PassBlobs = m.scan.pass
	} else if p != nil {
		m.describe(&s, p.Run, p.Origin, p.Covered, p.Bound, p.Counters)
		s.Cursor, s.Scan = p.Cursor, p.Scan
		s.Unsettled = UnsettledCounts{Total: len(p.Unsettled), Waiting: len(p.Unsettled)}
	}
	return s
}

func (m *Machine) describe(s *Status, run uint64, origin Origin, covered *Bound, bound Bound, c Counters) {
	s.Run, s.Origin, s.Bound, s.Counters = run, origin, &bound, c
	if covered != nil {
		b := *covered
		s.Covered = &b
	}
}

// blocked says why nothing new is handed out although there is something.
func (m *Machine) blocked() string {
	switch {
	case m.stop != stopNo:
		return "stopping"
	case m.paused:
		return "paused"
	case m.room.Low, !m.run.front.passDone():
		return m.scanBlocked()
	}
	return ""
}

func (m *Machine) trouble() string {
	if m.load.trouble.count > 0 && m.phase != PhaseWaiting { // there it is the reason itself
		return m.load.trouble.text
	}
	for _, t := range []trouble{m.scan.trouble, m.look.trouble, m.follow.trouble} {
		if t.count > 0 {
			return t.text
		}
	}
	return ""
}

func (f *frontier) countStates() UnsettledCounts {
	return UnsettledCounts{
		Total: len(f.list), Waiting: f.counts[Waiting], Fetching: f.counts[Fetching],
		Flushing: f.counts[Flushing], Retrying: f.counts[Retrying], Parked: f.counts[Parked],
	}
}

// Unsettled returns the unsettled list in id order, or the one that loading
// decides about.
func (m *Machine) Unsettled() []Unsettled {
	var list []Unsettled
	switch {
	case m.run.on:
		list = m.run.front.export()
	case m.prior != nil:
		list = slices.Clone(m.prior.Unsettled)
	}
	slices.SortFunc(list, func(a, b Unsettled) int { return a.ID.Compare(b.ID) })
	return list
}

// Progress returns what would be saved now, or nil if there is nothing.
func (m *Machine) Progress() *Progress {
	if m.run.on {
		return m.progress()
	}
	return m.prior
}

// Slots returns how many blobs are in flight, and how many may be.
func (m *Machine) Slots() (taken, limit int) { return m.run.slots, m.cfg.Slots }

// Uptime is the time the machine was last told.
func (m *Machine) Uptime() time.Duration { return m.now }

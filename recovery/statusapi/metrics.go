package statusapi

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// collector turns one status into metrics at each scrape, so that they all are
// of one moment. Labels are fixed words: no ids, no names of peers.
//
// Counters are sums over a run or a process: they fall to zero when a new one
// begins, as rate() expects. What counts a pass or a state is a gauge.
type collector struct {
	cfg    Config
	events *events
	descs  map[string]*prometheus.Desc
}

// newScrape returns the handler of /metrics, with a registry of its own.
func newScrape(cfg Config, e *events) http.Handler {
	return promhttp.HandlerFor(newRegistry(cfg, e), promhttp.HandlerOpts{MaxRequestsInFlight: 8})
}

func newRegistry(cfg Config, e *events) *prometheus.Registry {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(cfg, e),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func newCollector(cfg Config, e *events) *collector {
	c := &collector{cfg: cfg, events: e, descs: make(map[string]*prometheus.Desc, len(metricTable()))}
	for _, m := range metricTable() {
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		c.descs[m.name] = prometheus.NewDesc("recoverd_"+m.name, m.help, labels, nil)
	}
	return c
}

// Describe sends every description; it implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect takes one status and sends what it says; it implements
// prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := emitter{descs: c.descs, out: out}
	st := c.cfg.Worker.Status()
	m.gauge("build_info", 1, c.cfg.Version)
	m.moment("start_time_seconds", st.Started)
	m.moment("loop_last_turn_timestamp_seconds", c.cfg.Worker.LastTurn())
	m.machine(st)
	m.counters(st.Counters)
	m.unsettled(st)
	m.facts(st)
	m.gauge("watchers", float64(c.events.watching()))
	m.counter("watchers_dropped_total", c.events.dropped.Load())
	if c.cfg.Loop != nil {
		m.loop(c.cfg.Loop())
	}
	if c.cfg.Peers != nil {
		m.peers(c.cfg.Peers())
	}
	if c.cfg.Catalog != nil {
		m.catalog(c.cfg.Catalog())
	}
	if c.cfg.Store != nil {
		m.flushes(c.cfg.Store().Volumes)
	}
	if c.cfg.Checkpoint != nil {
		m.checkpoint(c.cfg.Checkpoint())
	}
}

// emitter sends metrics by name; the type of a metric follows from the method.
type emitter struct {
	descs map[string]*prometheus.Desc
	out   chan<- prometheus.Metric
}

func (m emitter) gauge(name string, value float64, label ...string) {
	m.out <- prometheus.MustNewConstMetric(m.descs[name], prometheus.GaugeValue, value, label...)
}

func (m emitter) counter(name string, value uint64, label ...string) {
	m.out <- prometheus.MustNewConstMetric(m.descs[name], prometheus.CounterValue, float64(value), label...)
}

// moment sends a time, if it is known.
func (m emitter) moment(name string, at time.Time, label ...string) {
	if !at.IsZero() {
		m.gauge(name, float64(at.UnixMilli())/1e3, label...)
	}
}

func (m emitter) flag(name string, set bool, label ...string) {
	value := 0.0
	if set {
		value = 1
	}
	m.gauge(name, value, label...)
}

func (m emitter) machine(st worker.Status) {
	for p := recovery.PhaseWaiting; p <= recovery.PhaseHalted; p++ {
		m.flag("phase", st.Phase == p, p.String())
	}
	m.flag("paused", st.Paused)
	m.flag("blocked", st.Blocked != "")
	m.flag("read_trouble", st.Trouble != "")
	m.gauge("run", float64(st.Run))
	m.counter("ownership_refusals_total", st.OwnershipRefusals)
	m.counter("notices_dropped_total", st.NoticesDropped)
	m.counter("put_back_blobs_total", st.PutBacks)
	m.moment("last_progress_timestamp_seconds", st.ProgressAt)
}

func (m emitter) counters(c recovery.Counters) {
	m.gauge("pass_looked_blobs", float64(c.Looked))
	m.counter("stored_blobs_total", c.Stored)
	m.counter("stored_bytes_total", c.StoredBytes)
	m.counter("skipped_blobs_total", c.AlreadyStored, string(recovery.AlreadyStored))
	m.counter("skipped_blobs_total", c.NotCertified, string(recovery.NotCertified))
	m.counter("skipped_blobs_total", c.Expired, string(recovery.Expired))
	m.counter("cancelled_syncs_total", c.Cancelled)
	m.counter("parkings_total", c.Parkings)
	m.counter("passes_total", c.Passes)
	m.counter("resumes_total", c.Resumes)
}

func (m emitter) unsettled(st worker.Status) {
	u := st.Unsettled
	m.gauge("unsettled_blobs", float64(u.Waiting), recovery.Waiting.String())
	m.gauge("unsettled_blobs", float64(u.Fetching), recovery.Fetching.String())
	m.gauge("unsettled_blobs", float64(u.Flushing), recovery.Flushing.String())
	m.gauge("unsettled_blobs", float64(u.Retrying), recovery.Retrying.String())
	m.gauge("unsettled_blobs", float64(u.Parked), recovery.Parked.String())
	m.gauge("in_flight_bytes", float64(st.BytesInFlight))
	if l := st.Limits; l != (worker.Limits{}) {
		m.gauge("concurrency_limit", float64(l.Concurrency))
		m.flag("concurrency_auto", l.Auto)
		m.gauge("concurrency_max", float64(l.ConcurrencyMax))
	}
}

// facts are sent as far as they are known.
func (m emitter) facts(st worker.Status) {
	if o := st.Ownership; o != nil {
		m.gauge("ownership_epoch", float64(o.Epoch))
		m.gauge("owned_shards", float64(o.Owned.Len()))
		m.gauge("network_shards", float64(o.TotalShards))
	}
	for _, b := range []struct {
		which string
		bound *recovery.Bound
	}{{"covered", st.Covered}, {"bound", st.Bound}, {"newest", st.Newest}} {
		if b.bound != nil {
			m.gauge("catalog_position", float64(b.bound.Position), b.which)
			m.gauge("catalog_epoch", float64(b.bound.Epoch), b.which)
		}
	}
	if st.Newest != nil {
		m.gauge("catalog_blobs", float64(st.CatalogBlobs))
		if st.CatalogBytes != recovery.SizeUnknown {
			m.gauge("catalog_bytes", float64(st.CatalogBytes))
		}
	}
	if st.Room != (recovery.Room{}) {
		m.gauge("store_free_bytes", float64(st.Room.Free))
		m.gauge("store_min_free_bytes", float64(st.Room.Min))
	}
	m.gauge("peers", float64(st.Peers.Total))
	m.gauge("peers_reachable", float64(st.Peers.Reachable))
}

func (m emitter) loop(l worker.LoopStats) {
	m.out <- prometheus.MustNewConstMetric(m.descs["loop_busy_seconds_total"], prometheus.CounterValue, l.Busy.Seconds())
	m.out <- prometheus.MustNewConstMetric(m.descs["loop_saving_seconds_total"], prometheus.CounterValue, l.Saving.Seconds())
	m.counter("saves_total", uint64(max(l.Saves, 0)))
}

// peers adds up what all peers did.
func (m emitter) peers(views []PeerView) {
	var sum PeerView
	lying := 0
	for _, v := range views {
		sum.Fetched += v.Fetched
		sum.FetchedBytes += v.FetchedBytes
		sum.Absent += v.Absent
		sum.WrongBytes += v.WrongBytes
		sum.Failed += v.Failed
		sum.Unreachable += v.Unreachable
		sum.InFlight += v.InFlight
		sum.Hedges += v.Hedges
		sum.HedgeWins += v.HedgeWins
		sum.Failovers += v.Failovers
		sum.AnswerP50Seconds = max(sum.AnswerP50Seconds, v.AnswerP50Seconds)
		sum.AnswerP99Seconds = max(sum.AnswerP99Seconds, v.AnswerP99Seconds)
		if v.WrongBytes > 0 {
			lying++
		}
	}
	m.gauge("peers_lying", float64(lying))
	m.counter("peer_tries_total", sum.Fetched, "fetched")
	m.counter("peer_tries_total", sum.Absent, string(recovery.Absent))
	m.counter("peer_tries_total", sum.WrongBytes, string(recovery.WrongBytes))
	m.counter("peer_tries_total", sum.Failed, "failed")
	m.counter("peer_tries_total", sum.Unreachable, string(recovery.Unreachable))
	m.counter("peer_fetched_bytes_total", sum.FetchedBytes)
	m.gauge("peer_requests_in_flight", float64(sum.InFlight))
	m.counter("peer_hedges_total", sum.Hedges)
	m.counter("peer_hedge_wins_total", sum.HedgeWins)
	m.counter("peer_failovers_total", sum.Failovers)
	if sum.AnswerP99Seconds > 0 { // else unknown
		m.gauge("peer_answer_median_seconds", sum.AnswerP50Seconds)
		m.gauge("peer_answer_p99_seconds", sum.AnswerP99Seconds)
	}
}

// flushes adds up those of all volumes.
func (m emitter) flushes(volumes []VolumeView) {
	sums := map[string]FlushesView{}
	for _, v := range volumes {
		for _, f := range v.Flushes {
			sum := sums[f.Way]
			sums[f.Way] = FlushesView{Count: sum.Count + f.Count, Seconds: sum.Seconds + f.Seconds}
		}
	}
	for way, sum := range sums {
		m.counter("store_flushes_total", sum.Count, way)
		m.out <- prometheus.MustNewConstMetric(m.descs["store_flush_seconds_total"], prometheus.CounterValue, sum.Seconds, way)
	}
}

func (m emitter) checkpoint(v CheckpointView) {
	m.counter("checkpoint_fallbacks_total", v.Fallbacks)
	m.moment("checkpoint_saved_timestamp_seconds", v.SavedAt)
}

func (m emitter) catalog(v CatalogView) {
	m.counter("catalog_refusals_total", v.Refusals)
	f := v.Followed
	if f == nil {
		return
	}
	if f.Tip != nil {
		m.gauge("catalog_position", float64(*f.Tip), "tip")
	}
	m.counter("follow_failures_total", f.Failures)
	for _, s := range []struct {
		kind string
		view SnapshotView
	}{{"full", f.Full}, {"incremental", f.Incremental}} {
		m.gauge("snapshot_position", float64(s.view.Position), s.kind)
		m.moment("snapshot_timestamp_seconds", s.view.At, s.kind)
		m.gauge("snapshot_interval_positions", float64(s.view.Every), s.kind)
		m.counter("snapshot_failures_total", s.view.Failures, s.kind)
	}
}

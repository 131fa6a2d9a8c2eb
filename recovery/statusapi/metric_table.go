package statusapi

// metric describes one metric; recoverd_ goes before its name.
type metric struct {
	name  string
	help  string
	label string // of its one label, or ""
}

// metricTable lists every metric there is, but for those of the Go runtime and
// the process.
func metricTable() []metric {
	return []metric{
		{"build_info", "Always 1; the version is the label.", "version"},
		{"start_time_seconds", "When the worker was made, in seconds since 1970.", ""},
		{"loop_last_turn_timestamp_seconds", "When the main loop last turned, in seconds since 1970.", ""},
		{"loop_busy_seconds_total", "Time the main loop spent computing.", ""},
		{"loop_saving_seconds_total", "The part of it spent in steps that took a value to save.", ""},
		{"saves_total", "Values handed to the checkpoint.", ""},

		{"phase", "1 for the phase the worker is in, 0 for the others.", "phase"},
		{"paused", "1 while paused.", ""},
		{"blocked", "1 while nothing new is handed out although there is something.", ""},
		{"read_trouble", "1 while reading the catalog, the store or the checkpoint fails.", ""},
		{"run", "Number of the run; it rises when progress was discarded.", ""},
		{"ownership_refusals_total", "Bad ownership documents since the start.", ""},
		{"catalog_refusals_total", "Bad catalogs since the start.", ""},
		{"follow_failures_total", "Tries to follow the catalog's source that failed, since the start.", ""},
		{"notices_dropped_total", "Notices that observers were too slow for, since the start.", ""},
		{"watchers", "Those who watch the status as events.", ""},
		{"watchers_dropped_total", "Watchers that were too slow and were dropped, since the start.", ""},

		{"last_progress_timestamp_seconds", "When rows were last looked at or blobs settled, in seconds since 1970.", ""},
		{"pass_looked_blobs", "Catalog rows looked at in this pass.", ""},
		{"stored_blobs_total", "Blobs stored durably in this run.", ""},
		{"stored_bytes_total", "Bytes fetched and stored durably in this run.", ""},
		{"skipped_blobs_total", "Blobs with nothing to do, in this run.", "reason"},
		{"cancelled_syncs_total", "Tries that did not settle, in this run.", ""},
		{"parkings_total", "Times a blob was parked, in this run.", ""},
		{"passes_total", "Passes finished in this run.", ""},
		{"resumes_total", "Restarts that kept this run.", ""},
		{"put_back_blobs_total", "Blobs queued since the start because what is stored of them is lost or wrong.", ""},

		{"unsettled_blobs", "Blobs handed out and not settled.", "state"},
		{"in_flight_bytes", "Declared sizes of the blobs being fetched.", ""},
		{"concurrency_limit", "Blobs that may be in flight at present.", ""},
		{"concurrency_auto", "1 while the limit of blobs in flight governs itself.", ""},
		{"concurrency_max", "The most that the limit of blobs in flight goes up to when it governs itself.", ""},

		{"ownership_epoch", "Epoch of the ownership in force.", ""},
		{"owned_shards", "Shards this node must hold.", ""},
		{"network_shards", "Shards of the network.", ""},
		{"catalog_position", "Position of the last event: covered, of this pass's bound, of the newest catalog, and of its source (tip).", "of"},
		{"catalog_epoch", "Epoch: covered, of this pass's bound, and of the newest catalog.", "of"},
		{"catalog_blobs", "Certified blobs of the catalog, on all shards.", ""},
		{"catalog_bytes", "Their size, if all sizes are known.", ""},
		{"snapshot_position", "Position of the newest snapshot made of a followed catalog; 0 when there is none.", "kind"},
		{"snapshot_timestamp_seconds", "When it became durable, in seconds since 1970.", "kind"},
		{"snapshot_interval_positions", "Positions between two snapshots, as configured.", "kind"},
		{"snapshot_failures_total", "Tries to make a snapshot that failed, since the start.", "kind"},

		{"store_free_bytes", "Free space of the store's fullest volume.", ""},
		{"store_flushes_total", "Flushes that made a group of pieces durable, since the start.", "way"},
		{"store_flush_seconds_total", "Time spent in flushes of the store's volumes, since the start.", "way"},
		{"store_min_free_bytes", "Free space below which the scan waits.", ""},
		{"peers", "Peers configured.", ""},
		{"peers_reachable", "Peers that can be reached.", ""},
		{"peers_lying", "Peers that sent something else than was asked for, since the start.", ""},
		{"peer_tries_total", "Tries to fetch a piece from a peer since the start, by how they ended.", "result"},
		{"peer_fetched_bytes_total", "Bytes that peers served and that were verified, since the start.", ""},
		{"peer_requests_in_flight", "Requests to peers under way.", ""},
		{"peer_answer_median_seconds", "Half of the recent answers began within this time, at the peer where it is longest.", ""},
		{"peer_answer_p99_seconds", "99 % of the recent answers began within this time, at the peer where it is longest.", ""},
		{"peer_hedges_total", "Requests made because another peer kept a transfer waiting, since the start.", ""},
		{"peer_hedge_wins_total", "Those that delivered first.", ""},
		{"peer_failovers_total", "Transfers that broke off and that another peer went on with, since the start.", ""},
		{"checkpoint_fallbacks_total", "Damaged copies of the progress that were passed over.", ""},
		{"checkpoint_saved_timestamp_seconds", "When progress was last made durable, in seconds since 1970.", ""},
	}
}

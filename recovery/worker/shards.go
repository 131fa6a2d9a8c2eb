package worker

// ShardProgress is how far one owned shard is. Nothing in it is derived from the
// cursor.
type ShardProgress struct {
	Shard uint32 `json:"shard"`
	// Certified counts the certified blobs that have a piece on the shard, Done
	// those of them that are settled; null until they are counted.
	Certified *uint64 `json:"certified"`
	Done      *uint64 `json:"done"`
	// Unsettled counts its blobs in the unsettled list, Parked those of them that
	// are parked.
	Unsettled uint64 `json:"unsettled"`
	Parked    uint64 `json:"parked"`
}

// Shards returns the owned shards by number, as of about a second ago; none while
// no run is in force. It never blocks.
func (w *Worker) Shards() []ShardProgress { return nil }

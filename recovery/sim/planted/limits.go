package planted

// limits are faults of what is bounded.
func limits() []Plant {
	return []Plant{
		{
			Name: "unsettled-unbounded", What: "the scan goes on when the unsettled list is full",
			Edits: []Edit{
				{"recovery/scan.go", "	case f.active() >= m.cfg.Unsettled:", "	case false:"},
			},
			By: []Proof{{simulated(), `I10: `}},
		},
		{
			Name: "bytes-unbounded", What: "retries do not look at the bytes in flight",
			Edits: []Edit{
				{"recovery/retry.go", "!m.retrySlot() || !m.slotFor(e.Size)", "!m.retrySlot()"},
			},
			By: []Proof{{simulated(), `I10: `}},
		},
		{
			Name: "retry-at-once", What: "a retry comes at half of its delay",
			Edits: []Edit{
				{"recovery/sync.go", "m.now+min(max(delay, RetryMin), RetryMax)", "m.now+delay/2"},
			},
			By: []Proof{{simulated(), `I11: `}},
		},
		{
			Name: "all-count-to-parking", What: "a try without a definite answer counts towards parking",
			Edits: []Edit{
				{"recovery/sync.go", "	if o.Definite {", "	if true {"},
			},
			By: []Proof{{simulated(), `I11: `}},
		},
	}
}

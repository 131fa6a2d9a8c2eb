package planted

// progress are faults of the machine and of what it decides.
func progress() []Plant {
	return []Plant{
		{
			Name: "skipped-then-saved", Hazard: 1, What: "a sync that was cancelled leaves the unsettled list as if it had been skipped",
			Edits: []Edit{{"recovery/sync.go", "	default:\n		m.cancelled(e, o, a.Delay)", "	default:\n		m.settle(e)"}},
			By:    []Proof{{histories(), `I[137]: \S+ is .* neither stored nor listed`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "read-error-means-gone", Hazard: 2, What: "a look-up that failed settles its ids as no longer certified",
			Edits: []Edit{{"recovery/retry.go", "		e.Reason, e.LastError = CatalogError, cutError(err.Error())\n		m.schedule(e, l.retryAt)", "		m.settleAs(e, NotCertified)"}},
			By:    []Proof{{histories(), `I[137]: \S+ is .* neither stored nor listed`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "catch-up-gap", Hazard: 3, What: "progress is kept when the continuity has changed",
			Edits: []Edit{{"recovery/decide.go", `	differ("continuity", quoted(p.Fence.Continuity), quoted(now.Continuity))`, ""}},
			By:    []Proof{{units("recovery", "^TestScenarios$/catch_up_gap"), `catch_up_gap`}, {simulated(), `I13: complete|neither durable nor listed`}},
		},
		{
			Name: "stale-end-cursor", Hazard: 4, What: "the scan position goes to the end when the last page arrives, not when its rows were looked at",
			Edits: []Edit{{"recovery/scan.go", "	s.ended, s.pass = e.Info.End, e.Info.Pass\n", "	s.ended, s.pass = e.Info.End, e.Info.Pass\n	if s.ended {\n		m.run.front.scan = s.after\n	}\n"}},
			By:    []Proof{{histories(), `I[13]: \S+ is under the .* neither stored nor listed`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "lost-and-regained", Hazard: 5, What: "progress is kept over a shard that was wiped, or a store that was swapped",
			Edits: []Edit{{"recovery/decide.go", "	case p.Fence.Store == now.Store || !p.Fence.Owned.Equal(now.Owned):", "	case true:"}},
			By:    []Proof{{histories(), `neither stored nor listed|is not stored`}, {simulated(), `I13: complete|neither durable nor listed`}},
		},
		{
			Name: "wrong-shard-set", Hazard: 6, What: "a Success for another shard set settles",
			Edits: []Edit{{"recovery/sync.go", ", o.Result != Cancelled && !o.Covers.Equal(m.covers()):", ":"}},
			By:    []Proof{{units("recovery", "^TestScenarios$/wrong_shard_set"), `wrong_shard_set`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "last-finisher-wins", Hazard: 7, What: "the cursor goes to the highest id looked at, whatever lower one is unsettled",
			Edits: []Edit{{"recovery/frontier.go", "		if c.Covers(id) {\n			c = justBelow(id)\n		}", "		_ = id"}},
			By:    []Proof{{histories(), `I2: the cursor \S+ passes the unsettled`}, {simulated(), `I2: the cursor`}},
		},
		{
			Name: "truncated-iteration", Hazard: 10, What: "an empty page is taken for the end of the catalog",
			Edits: []Edit{
				{"recovery/scan.go", "	if e.Info.N == 0 && !e.Info.End {\n		return fmt.Errorf(\"an empty page after %v is not the end\", m.scan.after)\n	}\n", ""},
				{"recovery/scan.go", "	s.ended, s.pass = e.Info.End, e.Info.Pass", "	s.ended, s.pass = e.Info.End || e.Info.N == 0, e.Info.Pass"},
				{"recovery/scan.go", "last: e.Info.End})", "last: e.Info.End || e.Info.N == 0})"},
			},
			By: []Proof{{units("recovery", "^TestScenarios$/truncated_iteration"), `truncated_iteration`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "fence-off", Hazard: 83, What: "progress is kept whatever has changed",
			Edits: []Edit{{"recovery/decide.go", "	return strings.Join(why, \"; \")", "	return strings.Join(why[:0], \"; \")"}},
			By:    []Proof{{histories(), `neither stored nor listed|is not stored|it never completes`}, {simulated(), `I13: complete|I6: |neither durable nor listed`}},
		},
	}
}

// passes are faults in what one pass leaves to the next, and in what is claimed of them.
func passes() []Plant {
	return []Plant{
		{
			Name: "cursor-of-another-pass", Hazard: 78, What: "the next pass goes on from the end of the one before",
			Edits: []Edit{
				{"recovery/follow.go", "		f.bound, f.scan = next.Bound, Mark{}", "		f.bound = next.Bound"},
				{"recovery/follow.go", "		m.scan = scanState{spare: m.scan.spare}", "		m.scan = scanState{spare: m.scan.spare, after: f.scan}"},
			},
			By: []Proof{{histories(), `I[137]: \S+ is .* neither stored nor listed|an end that claims too much`}, {simulated(), `I7: `}},
		},
		{
			Name: "expired-then-extended", Hazard: 79, What: "a pass leaves out what was certified before its covered bound, and extended after it",
			Edits: []Edit{{"recovery/standing.go", "return r.Gained <= b.Position && r.CertifiedEpoch <= b.Epoch", "return r.CertifiedEpoch <= b.Epoch"}},
			By:    []Proof{{histories(), `neither stored nor listed|is not stored`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "stale-no", Hazard: 80, What: "a look-up answered from before the bound settles",
			Edits: []Edit{{"recovery/retry.go", "	if !e.Stamp.Reaches(m.run.front.bound) {", "	if false {"}},
			By:    []Proof{{units("recovery", "^TestScenarios$/stale_no"), `stale_no`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "complete-behind-the-epoch", Hazard: 87, What: "complete is claimed while the catalog is epochs behind the ownership",
			Edits: []Edit{{"recovery/answers.go", "	case m.tip.Epoch < m.run.epoch:", "	case false:"}},
			By:    []Proof{{units("recovery", "^TestScenarios$/complete_behind_the_epoch"), `complete_behind_the_epoch`}, {simulated(), `hazard 87: complete`}},
		},
		{
			Name: "unrelated-catalog", Hazard: 84, What: "a catalog with a higher position is taken for a later one",
			Edits: []Edit{{"recovery/bound.go", "	for _, a := range t.Ancestors {", "	if t.Position > b.Position {\n		return true\n	}\n	for _, a := range t.Ancestors {"}},
			By:    []Proof{{histories(), `neither stored nor listed|is not stored`}},
		},
		{
			Name: "repair-below-the-cursor", Hazard: 92, What: "a blob that is put back is not listed when it is settled",
			Edits: []Edit{{"recovery/operator.go", "			f.wait(f.insert(Unsettled{ID: b.ID, Size: b.Size, State: Waiting, Replace: true}), m.now)\n", ""}},
			By:    []Proof{{histories(), `neither replaced nor listed|is rotten|neither stored nor listed`}, {simulated(), `neither durable nor listed|hazard 92: `}},
		},
	}
}

package planted

// scans are faults in what the machine takes from the catalog, the syncer and the
// checkpoint.
func scans() []Plant {
	return []Plant{
		{
			Name: "saved-without-its-list", Hazard: 1, What: "progress is saved without the unsettled list",
			Edits: []Edit{{"recovery/save.go", "Unsettled: f.export(),", "Unsettled: nil,"}},
			By:    []Proof{{histories(), `neither stored nor listed`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "short-page-is-the-end", Hazard: 10, What: "a page with rows missing is taken for the end of the catalog",
			Edits: []Edit{
				{"recovery/scan.go", "	s.ended, s.pass = e.Info.End, e.Info.Pass", "	s.ended, s.pass = e.Info.End || e.Info.N < len(e.Rows), e.Info.Pass"},
				{"recovery/scan.go", "last: e.Info.End})", "last: e.Info.End || e.Info.N < len(e.Rows)})"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "unordered-source", What: "rows out of order are taken",
			Edits: []Edit{
				{"recovery/scan.go", "		if prev.Covers(e.Rows[i].ID) {", "		if false {"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "stale-page", Hazard: 80, What: "a page from before the bound is taken",
			Edits: []Edit{
				{"recovery/scan.go", "!e.Info.Stamp.Reaches(bound) {", "false && !e.Info.Stamp.Reaches(bound) {"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "bound-moves-within-a-pass", Hazard: 78, What: "a restart moves the bound of a pass that is not finished",
			Edits: []Edit{
				{"recovery/decide.go", "	case done && f.tip.Position > prev.Bound.Position:", "	case f.tip.Position > prev.Bound.Position && !done:\n		next.Bound = f.tip.Bound\n	case done && f.tip.Position > prev.Bound.Position:"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "list-dropped-at-extension", Hazard: 81, What: "the next pass begins without the unsettled list",
			Edits: []Edit{
				{"recovery/decide.go", "		next.Origin.Decision = Extend", "		next.Unsettled = nil\n		next.Origin.Decision = Extend"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
	}
}

// settlements are faults in what settles an id.
func settlements() []Plant {
	return []Plant{
		{
			Name: "success-on-delivery", Hazard: 14, What: "a blob is settled when it is handed to the barrier",
			Edits: []Edit{
				{"recovery/sync.go", "		m.giveSlotBack(e)\n		m.run.front.setState(e, Flushing)", "		m.endFlight(e)\n		m.settle(e)"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "flush-failure-retried", Hazard: 45, What: "a sync whose flush failed is tried again",
			Edits: []Edit{
				{"recovery/sync.go", "	case o.Reason == NotDurable:", "	case false:"},
			},
			By: []Proof{{simulated(), `I12: a flush failed`}},
		},
		{
			Name: "failed-save-taken-for-saved", Hazard: 45, What: "a save that failed counts as durable",
			Edits: []Edit{
				{"recovery/machine.go", "	case SaveFailed:\n		m.halt(\"saving progress: \" + e.Err.Error())", "	case SaveFailed:\n		m.onSaved(Saved{Seq: e.Seq})"},
			},
			By: []Proof{{simulated(), `I12: a save failed`}},
		},
		{
			Name: "answer-of-an-older-run", Hazard: 6, What: "an answer for an older run is taken",
			Edits: []Edit{
				{"recovery/sync.go", "	if !m.run.on || run != m.run.number {", "	if !m.run.on {"},
				{"recovery/sync.go", "e.seq == seq && seq != 0", "true"},
			},
			By: []Proof{{simulated(), `I\d+: `}},
		},
		{
			Name: "certified-anew-under-way", Hazard: 80, What: "a success from before a blob was certified anew settles it",
			Edits: []Edit{{"recovery/scan.go", "			e.lost = true\n", "			e.lost = false\n"}},
			By:    []Proof{{units("recovery", "^TestScenarios$/certified_anew_under_way"), `certified_anew_under_way`}},
		},
	}
}

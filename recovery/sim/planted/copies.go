package planted

// copies are faults of what the copies of a checkpoint say together.
func copies() []Plant {
	return []Plant{
		{
			Name: "mirror-of-an-older-run", Hazard: 86, What: "what claims less is not written to the mirror",
			Edits: []Edit{
				{"checkpoint/store.go", "			func() error { return s.copies.mirror(p.first) },\n			func() error { return s.copies.mirror(p.second) },\n			func() error { return s.copies.put(p.second) },", "			func() error { return s.copies.put(p.second) },"},
			},
			By: []Proof{{simulated(), `is gone|what was never so`}},
		},
		{
			Name: "oldest-wins", Hazard: 15, What: "the copy with the lower number wins",
			Edits: []Edit{
				{"checkpoint/survey.go", "		return s.seq > o.seq", "		return s.seq < o.seq"},
			},
			By: []Proof{{simulated(), `is gone|what was never so`}},
		},
		{
			Name: "mirror-never-written", What: "the mirror is not written",
			Edits: []Edit{
				{"checkpoint/store.go", "		func() error { return s.copies.put(p.first) },\n		func() error { return s.copies.mirror(p.first) },", "		func() error { return s.copies.put(p.first) },"},
			},
			By: []Proof{{simulated(), `is gone|what was never so`}},
		},
		{
			Name: "failed-fsync-acknowledged", Hazard: 45, What: "a write or flush of a save that failed is acknowledged",
			Edits: []Edit{
				{"checkpoint/store.go", "		if err := step(); err != nil {", "		if err := step(); err != nil && s.err != nil {"},
			},
			By: []Proof{{simulated(), `is gone|what was never so|I12: `}},
		},
		{
			Name: "os-error-is-damage", Hazard: 15, What: "a copy that cannot be read is taken for a damaged one",
			Edits: []Edit{
				{"checkpoint/survey.go", "	case err != nil:\n		return err\n	case !ok:", "	case err != nil:\n		return nil\n	case !ok:"},
				{"checkpoint/medium.go", "		if err != nil {\n			return survey{}, fmt.Errorf(\"read %s: %w\", name, err)\n		}\n		if err := s.addSlot", "		_ = err\n		if err := s.addSlot"},
				{"checkpoint/medium.go", "	case err != nil:\n		return survey{}, fmt.Errorf(\"read %s: %w\", databaseName, err)\n	case !ok:", "	case err != nil, !ok:"},
			},
			By: []Proof{{simulated(), `what was never so|is gone|I6: `}},
		},
		{
			Name: "copies-not-healed", Hazard: 86, What: "a restart leaves copies that say something else",
			Edits: []Edit{
				{"checkpoint/store.go", "	if !ok || found.agrees(take) && take.listState == ListWhole {", "	if true {"},
			},
			By: []Proof{{simulated(), `what was never so|is gone`}},
		},
		{
			Name: "run-number-used-again", Hazard: 86, What: "a discard starts no new run",
			Edits: []Edit{
				{"recovery/decide.go", "		Run: f.lastRun + 1,", "		Run: max(f.lastRun, 1),"},
			},
			By: []Proof{{simulated(), `I6: |is gone|what was never so`}},
		},
	}
}

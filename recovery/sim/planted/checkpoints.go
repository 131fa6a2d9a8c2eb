package planted

// checkpoints are faults of checkpoint.db and its mirror.
func checkpoints() []Plant {
	return []Plant{
		{
			Name: "no-fsync", Hazard: 14, What: "a slot of the mirror is written and not flushed",
			Edits: []Edit{{"checkpoint/fsys.go", "	if err := w.Sync(); err != nil {\n		return fmt.Errorf(\"fsync: %w\", err)\n	}\n	return nil\n}", "	return nil\n}"}},
			By:    []Proof{{states("^TestCheckpoint$"), `it goes on from something else|read the mirror`}},
		},
		{
			Name: "bbolt-nosync", Hazard: 14, What: "bbolt flushes nothing",
			Edits: []Edit{{"checkpoint/database.go", "	return &database{fs", "	db.NoSync = true\n	return &database{fs"}},
			By:    []Proof{{states("^TestCheckpoint$"), `it goes on from something else`}},
		},
		{
			Name: "no-directory-fsync", Hazard: 46, What: "the names of the database and the mirror are not flushed",
			Edits: []Edit{{"checkpoint/fsys.go", "	return errors.Join(d.Sync(), d.Close())", "	return d.Close()"}},
			By:    []Proof{{states("^TestCheckpoint$"), `it goes on from something else|read the mirror`}},
		},
		{
			Name: "no-checksum", Hazard: 15, What: "the checksums of the mirror and of its values are not looked at",
			Edits: []Edit{
				{"checkpoint/mirror.go", " || binary.BigEndian.Uint32(b[12:]) != slotSum(b) {", " {"},
				{"checkpoint/envelope.go", "	case binary.BigEndian.Uint32(value[12:]) != envelopeSum(value):", "	case false:"},
			},
			By: []Proof{{states("^TestCheckpoint$"), `it goes on from something else`}, {simulated(), `is gone|what was never so|I6: progress is discarded`}},
		},
		{
			Name: "single-slot", Hazard: 44, What: "every write goes to the same slot of the mirror",
			Edits: []Edit{{"checkpoint/mirror.go", "func slotOf(seq uint64) int { return int((seq + 1) % 2) }", "func slotOf(uint64) int { return 0 }"}},
			By:    []Proof{{states("^TestCheckpoint$"), `it goes on from something else`}},
		},
		{
			Name: "mirror-from-before-the-discard", Hazard: 86, What: "what claims less is written in the order of what claims more",
			Edits: []Edit{{"checkpoint/ledger.go", "less: less}\n	if less {", "less: false}\n	if false {"}},
			By:    []Proof{{states("^TestCheckpoint$"), `alone: it goes on from something else`}},
		},
		{
			Name: "list-lost-after-extension", Hazard: 81, What: "an unsettled list that was lost is taken for an empty one",
			Edits: []Edit{{"checkpoint/image.go", "	if s.listState != ListWhole && r.Progress != nil {", "	if false {"}},
			By:    []Proof{{units("checkpoint", "^TestLostListIsNotAnEmptyOne$"), `work goes on from`}, {simulated(), `neither durable nor listed`}},
		},
		{
			Name: "failed-fsync-tried-again", Hazard: 45, What: "a save after a failed one is tried",
			Edits: []Edit{{"checkpoint/store.go", "			s.err = fmt.Errorf(\"%w: %w\", ErrFailed, err)\n			return s.err", "			return fmt.Errorf(\"%w: %w\", ErrFailed, err)"}},
			By:    []Proof{{units("checkpoint", "^TestFullDiskAtEveryWrite$"), `after a failed write`}},
		},
	}
}

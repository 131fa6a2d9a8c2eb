package planted

// snapshots are faults of snapshots and of the directory they lie in.
func snapshots() []Plant {
	return []Plant{
		{
			Name: "snapshot-not-flushed", Hazard: 46, What: "the bytes of a snapshot are not flushed before it gets its name",
			Edits: []Edit{{"recovery/catalog/snapshot/commit.go", "	if !p.volatile {\n		if err := p.Sync()", "	if false {\n		if err := p.Sync()"}},
			By:    []Proof{{states("^TestArchive$"), `is listed as|was created and is not listed|can be reached`}},
		},
		{
			Name: "close-error-dropped", Hazard: 47, What: "flushing and closing a snapshot's file are taken to succeed",
			Edits: []Edit{{"recovery/catalog/snapshot/commit.go", "			return fmt.Errorf(\"flush snapshot: %w\", err)", "			_ = err"}, {"recovery/catalog/snapshot/commit.go", "	if err := p.Close(); err != nil {\n		return fmt.Errorf(\"close snapshot: %w\", err)\n	}\n	return nil\n}", "	_ = p.Close()\n	return nil\n}"}},
			By:    []Proof{{units("recovery/catalog/snapshot", "^TestClosesErrorDropped$"), `FAIL: TestClosesErrorDropped/closed_under_it`}},
		},
		{
			Name: "pruned-before-durable", Hazard: 53, What: "older snapshots are removed before the newest one's name is flushed",
			Edits: []Edit{
				{"recovery/catalog/snapshot/archive/publish.go", "	if err := a.sync(a.cfg.Dir); err != nil {\n		// A second", "	if err := error(nil); err != nil {\n		// A second"},
				{"recovery/catalog/snapshot/archive/prune.go", "	if err := a.secure(verdicts); err != nil {", "	if err := error(nil); err != nil {"},
			},
			By: []Proof{{states("^TestArchive$"), `was created and is not listed`}},
		},
		{
			Name: "first-chunk-first", Hazard: 49, What: "of a set of chunks the first one gets its name with the others, unflushed",
			Edits: []Edit{{"recovery/catalog/snapshot/archive/publish.go", "	if len(paths) > 1 {\n		if err := a.sync(a.cfg.Dir); err != nil {", "	if false {\n		if err := a.sync(a.cfg.Dir); err != nil {"}},
			By:    []Proof{{states("^TestArchive$"), `is listed as incomplete`}},
		},
	}
}

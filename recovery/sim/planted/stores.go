package planted

// stores are faults of the store and of the barrier before it.
func stores() []Plant {
	return []Plant{
		{
			Name: "name-before-data", Hazard: 76, What: "drafts get their final names before their bytes are flushed",
			Edits: []Edit{
				{"syncer/store/fs/volume.go", "	if way == Syncfs {\n		err = v.flushAll()\n	} else if err = flushData(sealed); err == nil {\n",
					"	if len(named) == 0 {\n		err = nil\n	} else if way == Syncfs {\n		err = v.flushAll()\n	} else {\n"},
			},
			By: []Proof{{states("^TestStore$"), `bytes that are not its own`}},
		},
		{
			Name: "names-not-flushed", Hazard: 46, What: "a published piece is acknowledged before its name is durable",
			Edits: []Edit{{"syncer/lane.go", "	if b.failed.get() == nil {\n		l.data", "	if b.failed.get() == nil && len(group) > 0 {\n		l.data"}},
			By:    []Proof{{states("^TestStore$"), `was acknowledged and is not stored`}},
		},
		{
			Name: "no-directory-fsync-in-the-store", Hazard: 46, What: "with fdatasync, the directories of published pieces are not flushed",
			Edits: []Edit{{"syncer/store/fs/volume.go", "	if err := each(dirs, func(c changed) error { return c.shard.flush(c.name) }); err != nil {\n		return err\n	}\n", ""}},
			By:    []Proof{{states("^TestStore$/fdatasync"), `was acknowledged and is not stored`}},
		},
		{
			Name: "new-directory-not-flushed", Hazard: 46, What: "with fdatasync, a sub-directory that is new is flushed, and its own name is not",
			Edits: []Edit{{"syncer/store/fs/volume.go", "		if d.dir.fans.get(byte(d.fan)) != fanDurable {\n			add(changed{d.dir, \".\"})\n		}\n", ""}},
			By:    []Proof{{states("^TestStore$/fdatasync-fanout"), `was acknowledged and is not stored`}},
		},
		{
			Name: "skipped-from-page-cache", Hazard: 77, What: "opening a store flushes nothing",
			Edits: []Edit{{"syncer/store/fs/leftovers.go", "		if vol.flushed {", "		if true {"}},
			By:    []Proof{{states("^TestStoreAfterAKill$"), `was acknowledged and is not stored`}},
		},
		{
			Name: "flush-tried-again", Hazard: 45, What: "a volume whose flush failed is flushed again",
			Edits: []Edit{{"syncer/store/fs/volume.go", "		v.failed = failed\n", ""}},
			By:    []Proof{{units("syncer/store/fs", "^TestFlushFailureSticks$"), `a second flush`}},
		},
		{
			Name: "leftovers-stay", Hazard: 49, What: "the temporary files of a killed process are left",
			Edits: []Edit{{"syncer/store/fs/leftovers.go", "	if d.cleaned {", "	if true {"}},
			By:    []Proof{{states("^TestStoreAfterAKill$"), `leftovers stay`}},
		},
		{
			Name: "empty-disk-complete", Hazard: 82, What: "an empty root gets a marker although progress claims work",
			Edits: []Edit{{"syncer/store/decide.go", "	if req.Identity != \"\" && !policy.Adopt {", "	if false {"}},
			By:    []Proof{{units("syncer/store/fs", "^TestConformance$/flat/syncfs/Prepare/EmptyDiskComplete"), `FAIL: TestConformance`}},
		},
		{
			Name: "joined-flight-fenced", Hazard: 88, What: "a request joins a flight for another shard set",
			Edits: []Edit{{"syncer/flight.go", " && f.req.Covers.Equal(req.Covers) &&", " &&"}},
			By:    []Proof{{random("syncer", "^TestHandlerModel$", "cases"), `asked for \d shards, answered for \d`}},
		},
	}
}

package planted

// programs are faults that only a whole program under kills or power cuts meets.
func programs() []Plant {
	return []Plant{
		{
			Name: "data-after-cursor", Hazard: 14, What: "a blob is a Success as soon as it is handed to the barrier",
			Edits: []Edit{{"syncer/sync.go", "	for range s.handed {\n", "	for range 0 * s.handed {\n"}},
			By:    wholeStates(), Says: `is claimed, by a cursor at`,
		},
		{
			Name: "written-in-place", Hazard: 49, What: "a piece is written under its final name",
			Edits: []Edit{{"syncer/store/fs/store.go", "	if d.temp, d.file, err = createTemp(sh.dir.root); err != nil {",
				"	d.temp = d.final\n	if d.file, err = sh.dir.root.OpenFile(d.final, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode); err != nil {"}},
			By: kills(), Says: `has other bytes than its name says`,
		},
		{
			Name: "power-bbolt-nosync", Hazard: 14, What: "bbolt flushes nothing: a kill does not show it",
			Edits: []Edit{{"checkpoint/database.go", "	return &database{fs", "	db.NoSync = true\n	return &database{fs"}},
			By:    power(), Says: `the database is behind the mirror|the database: `,
		},
		{
			Name: "power-name-before-data", Hazard: 76, What: "drafts get their final names before their bytes are flushed",
			Edits: []Edit{
				{"syncer/store/fs/volume.go", "	if v.durability == Syncfs {\n		return v.flushAll()\n	}\n	if err := each(sealed, (*draft).flushData); err != nil {\n		return err\n	}\n	return flushNames(named)",
					"	if len(named) == 0 {\n		return nil\n	}\n	if v.durability == Syncfs {\n		return v.flushAll()\n	}\n	return flushNames(named)"},
			},
			By: power(), Says: `has other bytes than its name says|and is not stored`,
		},
	}
}

package planted

// programs are faults that only a whole program under kills or power cuts meets.
func programs() []Plant {
	return []Plant{
		{
			Name: "data-after-cursor", Hazard: 14, What: "a blob is a Success as soon as it is handed to the barrier",
			Edits: []Edit{{"syncer/sync.go", "	s.expect(1)\n", "	s.expect(0)\n"}},
			By:    []Proof{{wholeStates(), `is claimed, by a cursor at`}},
		},
		{
			Name: "written-in-place", Hazard: 49, What: "a piece is written under its final name",
			Edits: []Edit{
				{"syncer/store/fs/draft.go", "	if b.take() {", "	if false && b.take() {"},
				{"syncer/store/fs/draft.go", "		d.temp, d.sheet.fd, err = d.dir.newTemp()\n",
					"		d.temp = d.key.id.String()\n		err = d.dir.inFan(d.fan, func(dir int) error {\n			d.sheet.fd, err = unix.Openat(dir, d.temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, uint32(fileMode))\n			return err\n		})\n"},
				{"syncer/store/fs/draft.go", "	if d.temp != \"\" {\n		if err := d.release()", "	if false {\n		if err := d.release()"},
				{"syncer/store/fs/draft.go", "	d.vol.pending.add(d)\n	err := d.name()\n", "	d.vol.pending.add(d)\n	err := error(nil)\n"},
			},
			By: []Proof{{kills(), `has other bytes than its name says`}},
		},
		{
			Name: "power-bbolt-nosync", Hazard: 14, What: "bbolt flushes nothing: a kill does not show it",
			Edits: []Edit{{"checkpoint/database.go", "	return &database{fs", "	db.NoSync = true\n	return &database{fs"}},
			By:    []Proof{{power(), `the database is behind the mirror|the database: `}},
		},
		{
			Name: "power-name-before-data", Hazard: 76, What: "drafts get their final names before their bytes are flushed",
			Edits: []Edit{
				{"syncer/store/fs/volume.go", "	if way == Syncfs {\n		err = v.flushAll()\n	} else if err = flushData(sealed); err == nil {\n",
					"	if len(named) == 0 {\n		err = nil\n	} else if way == Syncfs {\n		err = v.flushAll()\n	} else {\n"},
			},
			By: []Proof{{power(), `has other bytes than its name says|and is not stored`}},
		},
	}
}

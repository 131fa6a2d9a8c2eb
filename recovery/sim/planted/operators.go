package planted

// operators are faults in what operators ask for.
func operators() []Plant {
	return []Plant{
		{
			Name: "repair-not-replaced", Hazard: 92, What: "a blob that is put back is listed, but what is stored is taken for right",
			Edits: []Edit{
				{"recovery/operator.go", "State: Waiting, Replace: true}", "State: Waiting}"},
			},
			By: []Proof{{simulated(), `hazard 92: `}},
		},
		{
			Name: "repair-under-way-forgotten", Hazard: 92, What: "a blob that is put back while it is under way settles by what came before",
			Edits: []Edit{
				{"recovery/operator.go", "			entry.lost = entry.slot < 0 // what is under way may have seen it stored\n", ""},
			},
			By: []Proof{{simulated(), `neither durable nor listed|hazard 92: `}},
		},
		{
			Name: "refused-not-looked-at", Hazard: 92, What: "a blob that the full list refuses to put back is forgotten",
			Edits: []Edit{
				{"recovery/operator.go", "	if len(a.Refused) > 0 {\n		m.lookAtAllAgain()\n	}\n", ""},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "repair-ends-by-the-present-epoch", Hazard: 92, What: "a blob that is put back expires by a catalog that has not heard it was extended",
			Edits: []Edit{
				{"recovery/retry.go", "	if e.Replace {\n		return catalog\n	}\n", ""},
			},
			By: []Proof{{simulated(), `hazard 92: `}},
		},
		{
			Name: "pause-forgotten", Hazard: 40, What: "a pause is answered and not saved",
			Edits: []Edit{
				{"recovery/operator.go", "		m.save.dirty, m.save.forced = true, true\n	}\n	m.owe(Answered{Ticket: e.Ticket})", "	}\n	m.owe(Answered{Ticket: e.Ticket})"},
			},
			By: []Proof{{simulated(), `hazard 40: `}},
		},
		{
			Name: "answered-at-once", Hazard: 40, What: "a pause is answered before it is on the disk",
			Edits: []Edit{
				{"recovery/save.go", "	case s.dirty:\n		s.owed", "	case false:\n		s.owed"},
			},
			By: []Proof{{simulated(), `hazard 40: `}},
		},
	}
}

package planted

// groups are faults of the barrier, and of flights that lead to it.
func groups() []Plant {
	return []Plant{
		{
			Name: "success-on-publish", Hazard: 46, What: "a piece is acknowledged when it has its name",
			Edits: []Edit{
				{"syncer/lane.go", "		published = append(published, t)", "		t.owner.answered(nil)"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "rename-before-flush", Hazard: 76, What: "pieces get their names before the flush of their group",
			Edits: []Edit{
				{"syncer/lane.go", "	if b.failed.get() == nil {\n		l.data, l.names = drafts(l.data, group), drafts(l.names, named)", "	if b.failed.get() == nil {\n		group = l.publish(group)\n		l.data, l.names = drafts(l.data, nil), drafts(l.names, named)"},
				{"syncer/lane.go", "	return l.publish(group)", "	return group"},
			},
			By: []Proof{{simulated(), `neither durable nor listed`}},
		},
		{
			Name: "failed-flush-acknowledged", Hazard: 45, What: "a group whose flush failed is acknowledged",
			Edits: []Edit{
				{"syncer/lane.go", "			b.fail(err)", "			_ = err"},
			},
			By: []Proof{{simulated(), `neither durable nor listed|I12: `}},
		},
		{
			Name: "flight-from-before-the-run", Hazard: 88, What: "a newer run joins a flight that began before it",
			Edits: []Edit{{"syncer/flight.go", "(f.run == t.run || f.stage == Queued) && ", ""}},
			By:    []Proof{{units("syncer", "^TestFlightFromBeforeTheRun$"), `want queued`}},
		},
		{
			Name: "replacing-joins-what-has-begun", Hazard: 92, What: "who wants a blob replaced joins a flight that has published what is wrong now",
			Edits: []Edit{{"syncer/flight.go", "f.req.Replace && f.stage == Queued)", "f.req.Replace)"}},
			By:    []Proof{{units("syncer", "^TestReplacingJoinsNothingThatHasBegun$"), `FAIL: TestReplacingJoinsNothingThatHasBegun`}},
		},
	}
}

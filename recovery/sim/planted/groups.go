package planted

// groups are faults of the barrier.
func groups() []Plant {
	return []Plant{
		{
			Name: "success-on-publish", Hazard: 46, What: "a piece is acknowledged when it has its name",
			Edits: []Edit{
				{"syncer/lane.go", "		published = append(published, t)", "		t.done <- nil"},
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
	}
}

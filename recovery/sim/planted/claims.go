package planted

// claims are faults in what is called complete.
func claims() []Plant {
	return []Plant{
		{
			Name: "complete-off-tip", Hazard: 87, What: "complete is claimed while the source is not at its tip",
			Edits: []Edit{
				{"recovery/answers.go", "	case !m.tip.AtTip:", "	case false:"},
			},
			By: []Proof{{simulated(), `hazard 87: complete`}},
		},
		{
			Name: "complete-before-saved", What: "complete is claimed before it is on the disk",
			Edits: []Edit{
				{"recovery/answers.go", "	case m.save.endSaved != m.endClaim():", "	case false:"},
			},
			By: []Proof{{simulated(), `complete, and that is not on the disk`}},
		},
		{
			Name: "complete-while-saving", What: "complete is claimed while a save that takes it back is under way",
			Edits: []Edit{
				{"recovery/save.go", "	if s.askedEnd = m.endClaim(); s.askedEnd != s.endSaved {\n		s.endSaved = endClaim{} // from here on the disk may hold either\n	}\n", "	s.askedEnd = m.endClaim()\n"},
			},
			By: []Proof{{simulated(), `complete, and that is not on the disk`}, {units("recovery", "^TestScenarios$/complete_waits_for_its_save"), `complete_waits_for_its_save`}},
		},
		{
			Name: "look-from-before-the-pass", Hazard: 82, What: "complete rests on a look at the store from before the pass",
			Edits: []Edit{
				{"recovery/answers.go", "			m.run.checked, m.run.again = !m.run.again, false", "			m.run.checked = true"},
			},
			By: []Proof{{simulated(), `hazard 82: complete`}},
		},
		{
			Name: "drain-that-ignores-a-change", Hazard: 87, What: "an ownership that comes while the process drains is not looked at",
			Edits: []Edit{
				{"recovery/load.go", "	m.suspend(PhaseWaiting, fmt.Sprintf(\"superseded: ownership of epoch %d\", own.Epoch))", "	m.save.dirty = true"},
			},
			By: []Proof{{simulated(), `hazard 87: complete|I\d+: `}},
		},
	}
}

package planted

// peers are faults in judging what peers send.
func peers() []Plant {
	return []Plant{
		{
			Name: "wrong-digest-accepted", Hazard: 74, What: "bytes with another digest than the blob's are taken",
			Edits: []Edit{{"syncer/verify.go", "	if j.got != j.want {", "	if false {"}},
			By:    units("syncer", "^TestSinkJudges$"), Says: `FAIL: TestSinkJudges`,
		},
		{
			Name: "short-body-accepted", Hazard: 69, What: "a body that ends early is taken for a whole one",
			Edits: []Edit{
				{"syncer/sink.go", "	case s.written < s.size:", "	case false:"},
				{"syncer/verify.go", "	if j.got != j.want {", "	if false {"},
			},
			By: units("syncer", "^TestSinkJudges$"), Says: `FAIL: TestSinkJudges`,
		},
	}
}

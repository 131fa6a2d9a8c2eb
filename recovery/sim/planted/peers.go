package planted

// peers are faults in judging what peers send.
func peers() []Plant {
	return []Plant{
		{
			Name: "wrong-digest-accepted", Hazard: 74, What: "bytes with another digest than the blob's are taken",
			Edits: []Edit{{"syncer/verify.go", "	if j.got != j.want {", "	if false {"}},
			By:    []Proof{{units("syncer", "^TestSinkJudges$"), `FAIL: TestSinkJudges`}},
		},
		{
			Name: "short-body-accepted", Hazard: 69, What: "a body that ends early is taken for a whole one",
			Edits: []Edit{
				{"syncer/sink.go", "	case s.written < s.size:", "	case false:"},
				{"syncer/verify.go", "	if j.got != j.want {", "	if false {"},
			},
			By: []Proof{{units("syncer", "^TestSinkJudges$"), `FAIL: TestSinkJudges`}},
		},
		{
			Name: "lying-piece-in-a-rebuild", Hazard: 68, What: "pieces that others are rebuilt from, and those that are rebuilt, are not judged",
			Edits: []Edit{{"syncer/erasure/judge.go", "	if got := j.sum(); got != j.want {", "	if got := j.sum(); false && got != j.want {"}},
			By:    []Proof{{units("syncer/erasure", "^TestALyingPieceInARebuildFromExactlyK$"), `FAIL: TestALyingPieceInARebuildFromExactlyK`}},
		},
		{
			Name: "liar-without-a-name", Hazard: 68, What: "a piece that others are rebuilt from is not judged, only what was rebuilt",
			Edits: []Edit{{"syncer/erasure/source.go", "	return s.judge.Verify()", "	return nil"}},
			By:    []Proof{{units("syncer/erasure", "^TestALyingPieceThatNobodyElseHas$"), `FAIL: TestALyingPieceThatNobodyElseHas`}},
		},
	}
}

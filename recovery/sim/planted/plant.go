// Package planted is the proof of the proofs: deliberate faults, each one that lost
// data in a real system or in a draft of this one (testdata/HAZARDS.md), and for each
// the layer of proof that must catch it. A layer that catches nothing is no evidence.
//
// `make planted` builds all faults, asleep, into the tests of each layer by package
// overlay, and runs those that must catch a fault with it awake: they must fail, and say
// what the fault's row expects. The same build must pass when no fault is awake. The
// hermetic tests only hold the table against the source.
package planted

import (
	"regexp"
	"slices"
	"strings"

	"github.com/recoverd/recoverd/recovery/sim/overlay"
)

// Layer is one kind of proof, as a set of tests of one package.
type Layer struct {
	// Name is the kind, as package evidence calls it.
	Name string
	// Package is a path from the module's root.
	Package string
	// Args are flags of the test binary; the first says which tests.
	Args []string
	// Without are flags that take the place of those after the first in the run without
	// a fault, which needs no more tries than the faults do.
	Without []string
	// Tried finds, in what a failing test printed, how many tries it took; nil: one.
	Tried *regexp.Regexp
	// Passed: what Tried finds are those before the one that failed.
	Passed bool
	// Unit is what is counted.
	Unit string
}

// clean is the layer as it must pass without a fault: whole tests.
func (l Layer) clean() Layer {
	tests, _, _ := strings.Cut(l.Args[0], "/")
	l.Args = append([]string{tests}, l.Without...)
	return l
}

// Plant is one fault and who must catch it.
type Plant struct {
	// Name is the hazard's title, or like one.
	Name string
	// Hazard is its number in testdata/HAZARDS.md; 0: it has none.
	Hazard int
	// What the planted program does.
	What string
	// Edits make it do so. They lie within functions (overlay.NewAsleep).
	Edits []Edit
	// By are the layers that must catch it, each by itself.
	By []Proof
}

// Proof is a layer that must catch a fault, and how.
type Proof struct {
	Layer
	// Says matches what the layer must say: that it fails for the right reason.
	Says string
}

// Edit is one change of one file (see overlay.Fault).
type Edit struct{ File, Old, New string }

// faults are the plant's edits as package overlay wants them.
func (p Plant) faults() (all []overlay.Fault) {
	for _, e := range p.Edits {
		all = append(all, overlay.Fault{Name: p.Name, What: p.What, File: e.File, Old: e.Old, New: e.New})
	}
	return all
}

// All is the table.
func All() []Plant {
	return slices.Concat(
		progress(), passes(), scans(), settlements(), claims(), operators(), limits(), checkpoints(), copies(), stores(), groups(),
		snapshots(), peers(), programs(),
	)
}

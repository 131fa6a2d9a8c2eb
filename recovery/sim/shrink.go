package sim

import "strings"

// Shrink looks for less that breaks the same rule: it leaves kinds out, one after the
// other, as long as it still does, and cuts the history after that. It returns what is
// left out.
func Shrink(o Options, r Result) ([]Kind, Result) {
	o.Trace = nil
	for k := range observed {
		if r.Counts[k] == 0 {
			continue
		}
		try := o
		try.Without = append(append([]Kind(nil), o.Without...), k)
		if less := Run(try); less.Violation != nil && rule(less.Violation) == rule(r.Violation) {
			o, r = try, less
		}
	}
	return o.Without, r
}

// rule is what a violation says first.
func rule(v *Violation) string {
	name, _, _ := strings.Cut(v.What, ":")
	return name
}

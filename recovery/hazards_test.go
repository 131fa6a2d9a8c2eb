package recovery_test

import (
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// Each hazard is a named test (testdata/HAZARDS.md). A test says which ones it is in
// a comment: "Hazard N", "Hazards N, M" or "Hazards N and M"; a scenario script in a
// line that begins with "# hazard N: " and the title.
func TestEveryHazardHasATest(t *testing.T) {
	hazards := readHazards(t)
	tested := map[int]bool{}
	for _, m := range mentions(t) {
		text, known := hazards[m.number]
		switch {
		case !known:
			t.Errorf("%s names hazard %d, which does not exist", m.file, m.number)
		case !strings.HasPrefix(strings.ToLower(text), strings.ToLower(m.title)):
			t.Errorf("%s: hazard %d is not %q but %q", m.file, m.number, m.title, text)
		}
		tested[m.number] = true
	}
	for n, text := range hazards {
		if !tested[n] {
			t.Errorf("no test or scenario names hazard %d: %s", n, text)
		}
	}
}

// Every hazard has a test, or a scenario, whose name is its title: it begins with the
// hazard's first four words, or with all up to its first stop if they are fewer.
func TestEveryHazardHasATestOfItsName(t *testing.T) {
	names := testNames(t)
	for n, text := range readHazards(t) {
		least, whole := titleOf(text)
		if !slices.ContainsFunc(names, func(name string) bool {
			return len(name) >= len(least) && strings.HasPrefix(whole, name)
		}) {
			t.Errorf("no test is named after hazard %d: %s (it would begin Test, then %s)", n, text, least)
		}
	}
}

// titleOf returns the letters and digits of the least that a name must hold, and of
// the whole text. What stands in parentheses counts in neither.
func titleOf(text string) (least, whole string) {
	text = regexp.MustCompile(`\s*\([^)]*\)`).ReplaceAllString(text, "")
	title := regexp.MustCompile(`(?:[:;,]|\.)(?:\s|$)`).Split(strings.ReplaceAll(text, " ...", ""), 2)[0]
	words := strings.Fields(title)
	return plain(strings.Join(words[:min(len(words), 4)], "")), plain(text)
}

// plain keeps letters and digits, in lower case.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
}

// testNames returns the plain names of all tests, of those that others call, and the
// titles of all scenarios.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	function := regexp.MustCompile(`(?m)^func (?:Test|test)(?:Servers(?:Postgres|Page)?|Crash)?([A-Z0-9]\w*)\(`)
	title := regexp.MustCompile(`(?m)^# hazard \d+: (.+)$`)
	walkModule(t, func(name string) {
		pattern := title
		switch {
		case strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, ".go") && isSuite(path.Dir(name)):
			pattern = function
		case path.Base(path.Dir(name)) != "testdata" || path.Ext(name) != ".txt" && path.Ext(name) != ".txtar":
			return
		}
		text, err := os.ReadFile(filepath.Join(moduleRoot, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
			names = append(names, plain(m[1]))
		}
	})
	return names
}

// readHazards returns each hazard's text, title first, by its number.
func readHazards(t *testing.T) map[int]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot, "testdata", "HAZARDS.md"))
	if err != nil {
		t.Fatal(err)
	}
	hazards := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\d+)\. (.+)$`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n != len(hazards)+1 {
			t.Fatalf("hazard %s follows hazard %d", m[1], len(hazards))
		}
		hazards[n] = m[2]
	}
	if len(hazards) == 0 {
		t.Fatal("HAZARDS.md lists nothing")
	}
	return hazards
}

// mention is one place that names a hazard.
type mention struct {
	file   string
	number int
	title  string // scenarios only
}

// mentions looks through the comments of all test code and through all scenarios.
func mentions(t *testing.T) (all []mention) {
	t.Helper()
	walkModule(t, func(name string) {
		dir := path.Dir(name)
		switch {
		case strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".go") && isSuite(dir):
			all = append(all, inComments(t, name)...)
		case path.Base(dir) == "testdata" && (path.Ext(name) == ".txt" || path.Ext(name) == ".txtar"):
			all = append(all, inScenario(t, name)...)
		}
	})
	return all
}

func inComments(t *testing.T, name string) (all []mention) {
	t.Helper()
	mode := parser.ParseComments | parser.SkipObjectResolution
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleRoot, name), nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Comments {
		for _, n := range hazardsIn(t, group.Text()) {
			all = append(all, mention{file: name, number: n})
		}
	}
	return all
}

func inScenario(t *testing.T, name string) (all []mention) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# hazard (\d+): (.+)$`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mention{file: name, number: n, title: m[2]})
	}
	return all
}

// hazardsIn returns the hazards that a comment names.
func hazardsIn(t *testing.T, comment string) (all []int) {
	t.Helper()
	list := regexp.MustCompile(`(?i)\bhazards?\s+(\d+(?:(?:\s*-\s*|,\s*and\s+|,\s*|\s+and\s+)\d+)*)`)
	for _, m := range list.FindAllStringSubmatch(comment, -1) {
		all = append(all, numbers(t, strings.ReplaceAll(m[1], "and", ","))...)
	}
	return all
}

// numbers reads "1-3, 7".
func numbers(t *testing.T, list string) (all []int) {
	t.Helper()
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue // ", and"
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.Atoi(strings.TrimSpace(low))
		if err != nil {
			t.Fatal(err)
		}
		last, err := strconv.Atoi(strings.TrimSpace(high))
		if err != nil {
			t.Fatal(err)
		}
		for n := first; n <= last; n++ {
			all = append(all, n)
		}
	}
	return all
}

func TestHazardsIn(t *testing.T) {
	for comment, want := range map[string][]int{
		"nothing here":                 nil,
		"a hazard of 3 kinds":          nil,
		"Hazard 3.":                    {3},
		"the second half of hazard 77": {77},
		"Hazards 3, 5 and 83.":         {3, 5, 83},
		"Hazards 3, 5, and 83: x":      {3, 5, 83},
		"Hazards 41-43,\n47 and 49":    {41, 42, 43, 47, 49},
		"Hazard 3. 12 times":           {3},
		"Hazard 3 is hazard 5":         {3, 5},
	} {
		if diff := cmp.Diff(want, hazardsIn(t, comment)); diff != "" {
			t.Errorf("%q: %s", comment, diff)
		}
	}
}

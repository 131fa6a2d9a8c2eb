package deploy

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var (
	updateLicences = flag.Bool("update-licences", false, "rewrite package/LICENSES.md")
	licencesOut    = flag.String("licences-out", "", "file to leave the texts of all licences in, as they have to go with the program; empty for none")
)

// licencesFile lists what is linked into the program.
const licencesFile = "package/LICENSES.md"

// kinds are the licences that may be linked, by words that only they have.
func kinds() map[string]*regexp.Regexp {
	has := func(words string) *regexp.Regexp {
		return regexp.MustCompile(`(?is)` + strings.ReplaceAll(words, " ", `[\s*/#]+`))
	}
	return map[string]*regexp.Regexp{
		"Apache-2.0":   has("Apache License,? Version 2.0"),
		"MIT":          has("Permission is hereby granted, free of charge, to any person obtaining a copy"),
		"BSD-3-Clause": has("Redistribution and use in source and binary forms.*(?:Neither the name|nor the names)"),
		"BSD-2-Clause": has("Redistribution and use in source and binary forms"),
		"Unlicense":    has("This is free and unencumbered software released into the public domain"),
		"ISC":          has("Permission to use, copy, modify,(?: and/or| and)? distribute this software for any purpose"),
	}
}

// refused are words of licences that ask for more than to be named.
func refused() *regexp.Regexp {
	return regexp.MustCompile(`(?i)GNU (?:Affero |Lesser |Library )?General Public|Mozilla Public License|Business Source License|Server Side Public|Elastic License|Commons Clause|Creative Commons|Eclipse Public|CDDL`)
}

// linked is a module of the program.
type linked struct {
	path, version string
	files         map[string]string // the texts of licences, by their names from the module's root
	kinds         map[string]bool
}

// TestSecurityLicences wants a licence that is allowed in every module that is linked
// into the program, and in every directory of it that has one of its own, and the list
// of them to be as it is.
func TestSecurityLicences(t *testing.T) {
	modules := linkedModules(t)
	var text strings.Builder
	fmt.Fprintf(&text, "# What is linked into recoverd\nMade by `go test ./cmd/recoverd/deploy -run TestSecurityLicences -update-licences`; do not edit.\n\n| module | version | licence | files |\n|---|---|---|---|\n")
	fmt.Fprintf(&text, "| the Go standard library | %s | BSD-3-Clause | LICENSE |\n", goLine(t))
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		m := modules[path]
		if len(m.kinds) == 0 {
			t.Errorf("%s %s has no licence that is known, in %v", path, m.version, slices.Sorted(maps.Keys(m.files)))
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", path, m.version, strings.Join(slices.Sorted(maps.Keys(m.kinds)), ", "), strings.Join(slices.Sorted(maps.Keys(m.files)), ", "))
	}
	if *updateLicences {
		if err := os.WriteFile(licencesFile, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(licencesFile); err != nil || string(have) != text.String() {
		t.Errorf("%s is not what is linked now (%v): go test ./cmd/recoverd/deploy -run TestSecurityLicences -update-licences", licencesFile, err)
	}
	if *licencesOut != "" {
		if err := os.WriteFile(*licencesOut, []byte(licenceTexts(modules)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(modules) < 10 {
		t.Errorf("only %d modules were found", len(modules))
	}
	violations := uint64(0)
	if t.Failed() {
		violations = 1
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "licences of what is linked", Tried: uint64(len(modules)), Unit: "modules", Violations: violations})
}

// licenceTexts puts all of them into one text. That of Go itself is the same as that of
// golang.org/x.
func licenceTexts(modules map[string]*linked) string {
	var all strings.Builder
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		for _, file := range slices.Sorted(maps.Keys(modules[path].files)) {
			fmt.Fprintf(&all, "=== %s %s: %s\n\n%s\n", path, modules[path].version, file, strings.TrimSpace(modules[path].files[file]))
		}
	}
	return all.String()
}

// goLine is the version of Go that the module asks for: the list must not depend on
// which one is installed.
func goLine(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod does not say which Go")
	}
	return "go" + string(m[1])
}

// linkedModules asks for the packages of the program as it is shipped.
func linkedModules(t *testing.T) map[string]*linked {
	t.Helper()
	modules := map[string]*linked{}
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "../")
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) != 4 {
				continue
			}
			if modules[f[0]] == nil {
				modules[f[0]] = &linked{path: f[0], version: f[1], files: map[string]string{}, kinds: map[string]bool{}}
			}
			modules[f[0]].gather(t, f[2], f[3])
		}
	}
	return modules
}

// gather reads the licences of a package's directory and of all above it.
func (m *linked) gather(t *testing.T, root, dir string) {
	t.Helper()
	name := regexp.MustCompile(`(?i)^(?:(?:un)?licen[sc]e|copying)[-._a-z0-9]*$`)
	for ; strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			file, err := filepath.Rel(root, filepath.Join(dir, e.Name()))
			if err != nil || e.IsDir() || strings.HasSuffix(e.Name(), ".go") || !name.MatchString(e.Name()) || m.files[file] != "" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			m.files[file] = string(text)
			m.read(t, file, string(text))
		}
	}
}

// read finds out which licences a text holds.
func (m *linked) read(t *testing.T, file, text string) {
	t.Helper()
	if words := refused().FindString(text); words != "" {
		t.Errorf("%s %s: %s says %q", m.path, m.version, file, words)
	}
	found := map[string]bool{}
	for kind, words := range kinds() {
		if words.MatchString(text) {
			found[kind] = true
		}
	}
	if found["BSD-3-Clause"] {
		delete(found, "BSD-2-Clause") // which is a part of it
	}
	if len(found) == 0 {
		t.Errorf("%s %s: %s is of no licence that is known", m.path, m.version, file)
	}
	maps.Copy(m.kinds, found)
}

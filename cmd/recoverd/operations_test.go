package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

var updateDocs = flag.Bool("update-docs", false, "rewrite the tables of OPERATIONS.md that are made from the program")

const operationsFile = "deploy/OPERATIONS.md"

// OPERATIONS.md explains every phase, exit code and line of the log. What it quotes
// as a message is one.
func TestOperationsExplainsEverything(t *testing.T) {
	text := readText(t, operationsFile)
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(text, -1)
	first := map[string]bool{} // what the first column of a table names
	for _, row := range rows {
		first[row[1]] = true
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			first[quoted[1]] = true
		}
	}
	for p := recovery.PhaseWaiting; p <= recovery.PhaseHalted; p++ {
		wantRow(t, first, "the phase", p.String())
	}
	wantRow(t, first, "the phase", statusapi.PhaseNotRunning)
	wantRow(t, first, "the phase", statusapi.PhaseNoAnswer)
	for _, code := range exitCodes(t) {
		wantRow(t, first, "the exit code", code)
	}
	ours := sources(t, "../..")
	for _, message := range logMessages(ours) {
		wantRow(t, first, "the log's line", message)
	}
	_, messages, _ := strings.Cut(text, "\n## Messages\n")
	messages, _, _ = strings.Cut(messages, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(messages, -1) {
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if !strings.Contains(ours, strings.TrimPrefix(quoted[1], "store: ")) {
				t.Errorf("nothing says %q", quoted[1])
			}
		}
	}
}

func wantRow(t *testing.T, rows map[string]bool, what, word string) {
	t.Helper()
	if !rows[word] {
		t.Errorf("%s has no row for %s %q", operationsFile, what, word)
	}
}

// exitCodes returns the numbers of the exit codes.
func exitCodes(t *testing.T) (codes []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if number, ok := v.Values[0].(*ast.BasicLit); ok {
				codes = append(codes, number.Value)
			}
		}
		return true
	})
	if len(codes) < 8 {
		t.Fatalf("exit.go has the codes %v", codes)
	}
	return codes
}

// sources returns the text of the program's Go files.
func sources(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || name == "bin" || name == "dist"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		all.WriteString(readText(t, filepath.Join(root, name)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func logMessages(source string) (all []string) {
	for _, m := range regexp.MustCompile(`\.Msg\("([^"]+)"\)`).FindAllStringSubmatch(source, -1) {
		all = append(all, m[1])
	}
	return all
}

// The tables of flags, verbs and metrics are made from the program.
func TestOperationsTables(t *testing.T) {
	text := readText(t, operationsFile)
	want := text
	for name, table := range map[string]string{"flags": flagTable(), "verbs": verbTable(), "metrics": metricTable(t)} {
		begin := "<!-- " + name + " -->\n"
		head, rest, ok := strings.Cut(want, begin)
		_, tail, ends := strings.Cut(rest, "<!-- end -->\n")
		if !ok || !ends {
			t.Fatalf("%s has no place for the %s", operationsFile, name)
		}
		want = head + begin + table + "<!-- end -->\n" + tail
	}
	if *updateDocs {
		writeFile(t, operationsFile, want)
		return
	}
	if want != text {
		t.Errorf("the tables of %s are not the program's: go test ./cmd/recoverd -run TestOperationsTables -update-docs", operationsFile)
	}
}

// cell keeps a text inside of its cell, as it is.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`, "_", `\_`).Replace(text)
}

func flagTable() string {
	var table strings.Builder
	table.WriteString("| flag | default | |\n|---|---|---|\n")
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	new(runConfig).register(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		value := ""
		if f.DefValue != "" && f.DefValue != "[]" {
			value = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(&table, "| `--%s` | %s | %s |\n", f.Name, value, cell(f.Usage))
	})
	return table.String()
}

func verbTable() string {
	var table strings.Builder
	table.WriteString("| verb | |\n|---|---|\n")
	for _, cmd := range visible(newRoot()) {
		if cmd.HasParent() {
			fmt.Fprintf(&table, "| `%s` | %s |\n", cmd.CommandPath(), cell(cmd.Short))
		}
	}
	return table.String()
}

// metricTable is made from the golden text of the metrics, which names them all.
func metricTable(t *testing.T) string {
	t.Helper()
	golden := readText(t, "../../recovery/statusapi/testdata/metrics.txt")
	described := regexp.MustCompile(`(?m)^# HELP (\w+) (.+)\n# TYPE \w+ (\w+)\n\w+(\{\w+=)?`)
	var table strings.Builder
	table.WriteString("| metric | type | label | |\n|---|---|---|---|\n")
	for _, m := range described.FindAllStringSubmatch(golden, -1) {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m[1], m[3], strings.Trim(m[4], "{="), cell(m[2]))
	}
	return table.String()
}

// The configurations that are handed out are taken by recoverd as they are, but for
// the peer that each needs; so is every key that is there as a comment.
func TestDeployedConfigurations(t *testing.T) {
	packaged := readText(t, "deploy/package/recoverd.yaml")
	offered := regexp.MustCompile(`(?m)^#( *(?:- )?[a-z-]+:.*)$`).ReplaceAllString(packaged, "$1")
	if offered == packaged {
		t.Error("nothing is offered as a comment")
	}
	var sidecar struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(readText(t, "deploy/kubernetes/sidecar.yaml")), &sidecar); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"packaged": packaged + "peer: ['http://127.0.0.1/{id}']\n", "offered": offered, "sidecar": sidecar.Data["recoverd.yaml"],
	} {
		path := filepath.Join(t.TempDir(), "recoverd.yaml")
		writeFile(t, path, text)
		s, err := readSettings(nil, []string{envName("config") + "=" + path})
		if err == nil {
			err = s.cfg.validate()
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

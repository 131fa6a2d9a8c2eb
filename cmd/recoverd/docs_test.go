package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

var docsOut = flag.String("docs-out", "", "directory to leave the man pages and completions in; empty for none")

// Man pages and completions are made of the verbs themselves, here and not by the
// program, so that it does not carry what writes them. A release takes them from
// -docs-out.
func TestManPagesAndCompletions(t *testing.T) {
	out := *docsOut
	if out == "" {
		out = t.TempDir()
	}
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	man, completions := filepath.Join(out, "man"), filepath.Join(out, "completions")
	err := errors.Join(os.MkdirAll(man, 0o755), os.MkdirAll(completions, 0o755),
		root.GenBashCompletionFileV2(filepath.Join(completions, "recoverd.bash"), true),
		root.GenZshCompletionFile(filepath.Join(completions, "_recoverd")),
		root.GenFishCompletionFile(filepath.Join(completions, "recoverd.fish"), true))
	if err != nil {
		t.Fatal(err)
	}
	verbs := visible(root)
	for _, cmd := range verbs {
		forMan(cmd)
	}
	header := doc.GenManHeader{Section: "1", Manual: "recoverd", Source: "recoverd"} // the date is SOURCE_DATE_EPOCH
	if err := doc.GenManTree(root, &header, man); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range verbs {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(man, name))
		if err != nil {
			t.Error(err)
			continue
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(string(page), "--"+f.Name) {
				t.Errorf("%s does not hold --%s", name, f.Name)
			}
		})
		lintMan(t, filepath.Join(man, name))
	}
	script, err := os.ReadFile(filepath.Join(completions, "recoverd.bash"))
	if err != nil || !strings.Contains(string(script), "__start_recoverd") {
		t.Errorf("the completions for bash: %v", err)
	}
}

// visible lists a command and all below it that help shows.
func visible(cmd *cobra.Command) (all []*cobra.Command) {
	all = append(all, cmd)
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, visible(c)...)
		}
	}
	return all
}

// forMan keeps what is written in angle brackets, underscores and asterisks from
// being taken for Markdown, of which man pages are made.
func forMan(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	plain := strings.NewReplacer("<", `\<`, ">", `\>`, "_", `\_`, "*", `\*`)
	cmd.Short, cmd.Long = plain.Replace(cmd.Short), plain.Replace(cmd.Long)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { f.Usage = plain.Replace(f.Usage) })
}

// lintMan wants a page without errors, where there is mandoc.
func lintMan(t *testing.T, path string) {
	t.Helper()
	if _, err := exec.LookPath("mandoc"); err != nil {
		return
	}
	if out, err := exec.Command("mandoc", "-T", "lint", "-W", "error", path).CombinedOutput(); err != nil {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}

// What is in angle brackets reaches the man page.
func TestManPagesKeepPlaceholders(t *testing.T) {
	cmd := newRunCommand()
	forMan(cmd)
	var page strings.Builder
	if err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1"}, &page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<store>/<shard>/<id>`, `RECOVERD_STATE_DIR`, `{id_base64url}`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("recoverd-run(1) lost %q", want)
		}
	}
}

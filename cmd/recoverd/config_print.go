package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

func newConfigCommand() *cobra.Command {
	cmd := newGroup("config", "Print or check what `recoverd run` would be told, or change a daemon's log level")
	cmd.AddCommand(newConfigPrintCommand(), newConfigCheckCommand(), newLogLevelCommand())
	return cmd
}

// setting is one flag of `recoverd run`.
type setting struct {
	Name   string   `json:"name"`
	Values []string `json:"values"` // secrets are hidden; empty for an empty list
	// Source is flag, environment, file or default; Where is the variable or the
	// file it is from.
	Source string `json:"source"`
	Where  string `json:"where,omitempty"`
}

func newConfigPrintCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "print [flags of run]",
		Short: "Print every setting of `recoverd run`, and where it is from",
		Long: `Print the value of every flag of "recoverd run" and where it is from: a flag wins
over the environment, and that over the file of --config. Give the flags that "run"
is given. User names and passwords in URLs and DSNs are printed as ***. Nothing is
opened but that file; to try what it says: "recoverd config check".`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			s, err := readSettings(givenOfRun(cmd), os.Environ())
			if err != nil {
				return err
			}
			list, err := s.list()
			if err != nil {
				return withCode(exitConfig, err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), list)
			}
			return printSettings(cmd.OutOrStdout(), list)
		},
	}
	new(runConfig).register(cmd.Flags())
	outputFlag(cmd, &output)
	return cmd
}

// givenOfRun lists the flags of `run` on a command line that has others too.
func givenOfRun(cmd *cobra.Command) (given []givenFlag) {
	of := pflag.NewFlagSet("run", pflag.ContinueOnError)
	new(runConfig).register(of)
	for _, g := range givenFlags(cmd.Flags()) {
		if of.Lookup(g.name) != nil {
			given = append(given, g)
		}
	}
	return given
}

// list returns every setting, by name.
func (s *settings) list() (list []setting, err error) {
	file, err := readConfigFile(s.cfg.Config)
	if err != nil {
		return nil, err
	}
	env := ourEnvironment(s.environ)
	s.flags.VisitAll(func(f *pflag.Flag) {
		one := setting{Name: f.Name, Values: []string{}, Source: "default"}
		_, inEnv := env[envName(f.Name)]
		_, inFile := file[f.Name]
		switch {
		case s.wasGiven(f.Name):
			one.Source = "flag"
		case inEnv:
			one.Source, one.Where = "environment", envName(f.Name)
		case inFile:
			one.Source, one.Where = "file", s.cfg.Config
		}
		values := []string{f.Value.String()}
		if sliced, ok := f.Value.(pflag.SliceValue); ok {
			values = sliced.GetSlice()
		}
		for _, v := range values {
			one.Values = append(one.Values, hideSecrets(v))
		}
		list = append(list, one)
	})
	return list, nil
}

func (s *settings) wasGiven(name string) bool {
	for _, g := range s.given {
		if g.name == name {
			return true
		}
	}
	return false
}

func printSettings(out io.Writer, list []setting) error {
	rows := [][2]string{}
	for _, s := range list {
		source := s.Source
		if s.Where != "" {
			source += " " + s.Where
		}
		if len(s.Values) == 0 {
			s.Values = []string{""}
		}
		for i, v := range s.Values {
			name := s.Name
			if i > 0 {
				name = ""
			}
			if v == "" {
				v = "(empty)"
			}
			rows = append(rows, [2]string{name, v + "  (" + source + ")"})
		}
	}
	return (&table{rows: rows}).write(out, 0)
}

// hideSecrets hides user info in URLs, and what is said to be a password or the like
// in DSNs and queries. It rather hides too much.
func hideSecrets(text string) string {
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		// A password may hold what would end it.
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		at := strings.LastIndexByte(rest[:end], '@')
		if at < 0 && strings.Contains(rest[:end], ":") && !portFollows(rest[:end]) {
			at = strings.LastIndexByte(rest, '@')
		}
		if at >= 0 {
			text = scheme + "://***@" + rest[at+1:]
		}
	}
	secret := regexp.MustCompile(`(?i)\b([a-z_-]*(?:password|passwd|pwd|passfile|secret|token|api_?key|signature|credential)[a-z_-]*)(\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&'][^\s&]*)`)
	return secret.ReplaceAllString(text, "$1$2***")
}

// portFollows reports whether what comes after the last colon can be a port.
func portFollows(authority string) bool {
	_, port, _ := strings.Cut(authority[strings.LastIndexByte(authority, ']')+1:], ":")
	return strings.Trim(port, "0123456789") == ""
}

func newLogLevelCommand() *cobra.Command {
	v := &daemonVerb{}
	cmd := &cobra.Command{
		Use:   "log-level debug|info|warn|error",
		Short: "Change how much a running daemon logs, until it ends",
		Long: `Change how much a running daemon logs, at once and until it ends or the level in
its configuration changes. For good: --log-level of "recoverd run".

Without a daemon nothing is changed (75).`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := parseLevel(args[0]); err != nil {
				return withCode(exitUsage, err)
			}
			return v.ask(cmd.Context(), func(client *statusapi.Client) error {
				if err := client.SetLogLevel(cmd.Context(), args[0]); err != nil {
					return err
				}
				if v.output == "json" {
					return writeIndented(cmd.OutOrStdout(), statusapi.LogLevelView{Level: args[0]})
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "logs %s, until the daemon ends\n", args[0])
				return err
			})
		},
	}
	v.register(cmd)
	return cmd
}

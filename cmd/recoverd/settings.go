package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery/regular"
)

// settings is what `recoverd run` was told, and how to read it again.
type settings struct {
	cfg     *runConfig
	flags   *pflag.FlagSet // of cfg
	given   []givenFlag
	environ []string
}

// givenFlag is a flag on the command line.
type givenFlag struct {
	name   string
	values []string
}

// givenFlags lists what a command line has set.
func givenFlags(flags *pflag.FlagSet) (given []givenFlag) {
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		given = append(given, givenFlag{f.Name, values})
	})
	return given
}

// readSettings puts flags, environment and the configuration file together. It may
// be done again when the file has changed.
func readSettings(given []givenFlag, environ []string) (*settings, error) {
	s := &settings{cfg: &runConfig{}, flags: pflag.NewFlagSet("run", pflag.ContinueOnError), given: given, environ: environ}
	s.cfg.register(s.flags)
	for _, g := range given {
		if err := setFlag(s.flags, s.flags.Lookup(g.name), "--"+g.name, g.values); err != nil {
			return nil, withCode(exitUsage, err)
		}
	}
	if i := slices.IndexFunc(environ, func(e string) bool { return strings.HasPrefix(e, envName("config")+"=") }); i >= 0 && s.cfg.Config == "" {
		_, s.cfg.Config, _ = strings.Cut(environ[i], "=")
	}
	return s, applyConfig(s.flags, s.cfg.Config, environ)
}

// again reads everything anew.
func (s *settings) again() (*settings, error) { return readSettings(s.given, s.environ) }

// changed lists the flags that differ, by name.
func (s *settings) changed(o *settings) (names []string) {
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Value.String() != o.flags.Lookup(f.Name).Value.String() {
			names = append(names, f.Name)
		}
	})
	return names
}

// content returns what the configuration file holds, or "" where there is none or it
// cannot be read: then reading it properly says why.
func (s *settings) content() string {
	if s.cfg.Config == "" {
		return ""
	}
	data, err := regular.Read(s.cfg.Config, maxConfigFile)
	if err != nil {
		return ""
	}
	return string(data)
}

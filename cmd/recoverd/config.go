package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/recoverd/recoverd/recovery/regular"
)

// envPrefix begins the environment variable of every flag: --state-dir is
// RECOVERD_STATE_DIR.
const envPrefix = "RECOVERD_"

// maxConfigFile bounds a configuration file, in bytes.
const maxConfigFile = 1 << 20

// applyConfig gives every flag that is not on the command line its value from
// the environment or else from the configuration file (flag > environment >
// file > default). The keys of the file are the names of the flags; unknown
// ones are errors, and so are unknown RECOVERD_ variables.
func applyConfig(flags *pflag.FlagSet, path string, environ []string) error {
	file, err := readConfigFile(path)
	if err != nil {
		return withCode(exitConfig, err)
	}
	env := ourEnvironment(environ)
	var problems []error
	flags.VisitAll(func(f *pflag.Flag) {
		fromFile, inFile := file[f.Name]
		fromEnv, inEnv := env[envName(f.Name)]
		delete(file, f.Name)
		delete(env, envName(f.Name))
		switch {
		case f.Changed:
		case inEnv:
			problems = append(problems, setFlag(flags, f, envName(f.Name), strings.Split(fromEnv, "\n")))
		case inFile:
			problems = append(problems, setFlag(flags, f, path+": "+f.Name, fromFile))
		}
	})
	for key := range file {
		problems = append(problems, fmt.Errorf("%s: unknown key %q", path, key))
	}
	for name := range env {
		problems = append(problems, fmt.Errorf("unknown environment variable %s", name))
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return withCode(exitConfig, errors.Join(problems...))
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// ourEnvironment picks our variables. Those named RECOVERD_REQUIRE_ and
// RECOVERD_TEST_ belong to the tests.
func ourEnvironment(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !strings.HasPrefix(name, envPrefix+"REQUIRE_") && !strings.HasPrefix(name, envPrefix+"TEST_") {
			env[name] = value
		}
	}
	return env
}

// readConfigFile reads a mapping of flag names to scalars or lists of scalars.
func readConfigFile(path string) (map[string][]string, error) {
	if path == "" {
		return nil, nil
	}
	data, err := regular.Read(path, maxConfigFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	values := make(map[string][]string, len(raw))
	for key, node := range raw {
		switch node.Kind {
		case yaml.ScalarNode:
			values[key] = []string{node.Value}
		case yaml.SequenceNode:
			list := []string{}
			if err := node.Decode(&list); err != nil {
				return nil, fmt.Errorf("read configuration %s: %s: %w", path, key, err)
			}
			values[key] = list
		default:
			return nil, fmt.Errorf("read configuration %s: line %d: %s is neither a value nor a list of values", path, node.Line, key)
		}
	}
	return values, nil
}

// setFlag sets a flag from where says; only list flags take several values.
func setFlag(flags *pflag.FlagSet, f *pflag.Flag, where string, values []string) error {
	list, isList := f.Value.(pflag.SliceValue)
	if isList {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.TrimSpace(v) == "" })
		if err := list.Replace(values); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		f.Changed = true
		return nil
	}
	if len(values) != 1 {
		return fmt.Errorf("%s: want one value, got %d", where, len(values))
	}
	if err := flags.Set(f.Name, values[0]); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

// byteSize is a flag in bytes: 1048576, 64MiB, 1GB; none is larger than an int64.
type byteSize uint64

// String is exact: what it says is read again.
func (b *byteSize) String() string {
	n, unit := uint64(*b), 0
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	for n > 0 && n%1024 == 0 && unit < len(units)-1 {
		n, unit = n/1024, unit+1
	}
	return fmt.Sprintf("%d%s", n, units[unit])
}

func (b *byteSize) Type() string { return "size" }

// Set reads a number with an optional unit.
func (b *byteSize) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is not a size such as 1048576, 64MiB or 1GB", text)
	}
	*b = byteSize(n)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery/regular"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

// checked is what a look at one thing has found.
type checked struct {
	What    string `json:"what"`
	Problem string `json:"problem"` // "" for none
	Note    string `json:"note"`    // what was found, or ""
}

func newConfigCheckCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check [flags of run]",
		Short: "Read all that `recoverd run` would read, and print every problem",
		Long: `Read all that "recoverd run" would read with these flags, this environment and the
file of --config: ownership, catalog (all of it), peers' templates, certificates,
state directory, store. Nothing is made, locked for long, listened on or asked of
peers, and a daemon may run meanwhile. Whether peers answer: "recoverd doctor".

The exit code is 78 if there is a problem.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			found := checkSettings(cmd.Context(), givenOfRun(cmd), os.Environ())
			err := printInspections(cmd.OutOrStdout(), found, output)
			bad := slices.ContainsFunc(found, func(f checked) bool { return f.Problem != "" })
			if err == nil && bad {
				return &exitError{code: exitConfig} // they are printed already
			}
			return err
		},
	}
	new(runConfig).register(cmd.Flags())
	outputFlag(cmd, &output)
	return cmd
}

// checkSettings reads everything, in the order that a run does, and goes on after a
// problem.
func checkSettings(ctx context.Context, given []givenFlag, environ []string) (found []checked) {
	s, err := readSettings(given, environ)
	found = append(found, inspected("settings", "", err)...)
	if s == nil {
		return found
	}
	n := &node{cfg: s.cfg}
	_, _, logErr := newLogger(s.cfg, io.Discard)
	for _, problem := range []error{s.cfg.validate(), n.checkConfig(ctx), logErr} {
		found = append(found, inspected("settings", "", problem)...)
	}
	if len(found) == 0 {
		found = inspected("settings", "every flag makes sense", nil)
	}
	for _, c := range []struct {
		what string
		look func(context.Context, *runConfig) (note string, err error)
		skip bool
	}{
		{"ownership", checkOwnership, s.cfg.Ownership == ""},
		{"peers", checkPeers, len(s.cfg.Peers) == 0},
		{"catalog", checkCatalog, s.cfg.Catalog == ""},
		{"events", checkEvents, s.cfg.Events == ""},
		{"state-dir", checkStateDir, s.cfg.StateDir == ""},
		{"store", checkStore, s.cfg.Store == ""},
		{"listen", checkListen, false},
	} {
		if c.skip {
			continue // that it is not there is found already, if it is wrong
		}
		note, err := c.look(ctx, s.cfg)
		found = append(found, inspected(c.what, note, err)...)
	}
	return found
}

// inspected makes one of each problem that err joins, or of the note.
func inspected(what, note string, err error) (found []checked) {
	if err == nil {
		if note == "" {
			return nil
		}
		return []checked{{What: what, Note: note}}
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		found = append(found, checked{What: what, Problem: hideSecrets(line)})
	}
	return found
}

func printInspections(out io.Writer, found []checked, format string) error {
	if format == "json" {
		return writeIndented(out, found)
	}
	t := &table{}
	problems := 0
	for _, f := range found {
		if f.Problem != "" {
			problems++
			t.row(f.What, "PROBLEM: %s", f.Problem)
			continue
		}
		t.row(f.What, "%s", f.Note)
	}
	if problems > 0 {
		t.row("", "%s", plural(problems, "problem"))
	}
	return t.write(out, 0)
}

// checkCatalog proves every byte of a file, and asks Postgres what it holds.
func checkCatalog(ctx context.Context, cfg *runConfig) (note string, err error) {
	if isPostgres(cfg.Catalog) {
		source, err := openPostgres(cfg)
		if err != nil {
			return "", err
		}
		tip, err := source.Pin(ctx)
		return fmt.Sprintf("%s, %s", plural(tip.Blobs, "certified blob"), tip.Bound), errors.Join(err, source.Close())
	}
	content, err := openContent(cfg.Catalog)
	if err != nil {
		return "", err
	}
	placement, err := cfg.placement()
	if err == nil {
		err = content.Verify(ctx)
	}
	if err == nil {
		err = refuseUnverifiable(placement)(ctx, content)
	}
	note = fmt.Sprintf("%s, %s", plural(content.Totals().Certified, "certified blob"), content.Bound())
	return note, errors.Join(err, content.Close())
}

// checkEvents asks the source which events it has.
func checkEvents(ctx context.Context, cfg *runConfig) (note string, err error) {
	source, err := cfg.followConfig.source()
	if err != nil {
		return "", err
	}
	has, err := rangeOf(ctx, source)
	note = fmt.Sprintf("events %d to %d", has.First, has.Last)
	if has.Empty() {
		note = "no event yet"
	}
	return note, errors.Join(err, source.Close())
}

// checkStateDir looks at what is saved, and whether it may be written.
func checkStateDir(_ context.Context, cfg *runConfig) (string, error) {
	saved, err := checkpoint.Describe(cfg.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg.StateDir + " will be made", mayBeMade(cfg.StateDir)
	}
	if err != nil {
		return "", err
	}
	problems := []error{writable(cfg.StateDir)}
	if path := filepath.Join(cfg.StateDir, limitsFile); fileThere(path) {
		problems = append(problems, checkLimits(path))
	}
	note := "nothing is saved yet"
	if saved.Record.Progress != nil {
		note = progressText(saved.Record, saved.LoadReport)
	}
	if saved.InUse {
		note += "; a daemon is running"
	}
	return note, errors.Join(problems...)
}

func checkLimits(path string) error {
	data, err := regular.Read(path, maxLimitsSize)
	if err == nil {
		_, err = decodeLimits(data)
	}
	if err != nil {
		return fmt.Errorf("%s, which `recoverd limits` wrote, would be set aside: %w", path, err)
	}
	return nil
}

func checkStore(_ context.Context, cfg *runConfig) (string, error) {
	info, err := os.Stat(cfg.Store)
	switch {
	case errors.Is(err, fs.ErrNotExist) && cfg.StoreCreate:
		return cfg.Store + " will be made, unless progress claims it", mayBeMade(cfg.Store)
	case err != nil:
		return "", err
	case !info.IsDir():
		return "", fmt.Errorf("%s is not a directory", cfg.Store)
	}
	var room unix.Statfs_t
	if err := unix.Statfs(cfg.Store, &room); err != nil {
		return "", fmt.Errorf("free space of %s: %w", cfg.Store, err)
	}
	return fmt.Sprintf("%s, %s free", cfg.Store, size(room.Bavail*uint64(room.Bsize))), writable(cfg.Store)
}

// checkListen looks at addresses without listening, since a daemon may do so.
func checkListen(_ context.Context, cfg *runConfig) (string, error) {
	var problems []error
	if cfg.Listen != "" {
		host, _, err := net.SplitHostPort(cfg.Listen)
		ip, notIP := netip.ParseAddr(host)
		switch loopback := host == "localhost" || notIP == nil && ip.Unmap().IsLoopback(); {
		case err != nil:
			problems = append(problems, fmt.Errorf("--listen: %w", err))
		case !loopback && cfg.TLSCert == "":
			problems = append(problems, listenCode("listen", fmt.Errorf("%w: %.80q", statusapi.ErrNotLoopback, cfg.Listen)))
		}
	}
	if cfg.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(cfg.MetricsListen); err != nil {
			problems = append(problems, fmt.Errorf("--metrics-listen: %w", err))
		}
	}
	if cfg.TLSCert != "" {
		files := statusapi.TLSFiles{Cert: cfg.TLSCert, Key: cfg.TLSKey, ClientCA: cfg.TLSClientCA}
		problems = append(problems, files.Check())
	}
	return "addresses make sense; whether they are free is not tried", errors.Join(problems...)
}

func fileThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// mayBeMade reports why a directory cannot be made: its parent is not there, or may
// not be written.
func mayBeMade(dir string) error {
	parent := filepath.Dir(filepath.Clean(dir))
	if _, err := os.Stat(parent); err != nil {
		return fmt.Errorf("%s cannot be made: %w", dir, err)
	}
	return writable(parent)
}

func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s may not be written by this user: %w", dir, err)
	}
	return nil
}

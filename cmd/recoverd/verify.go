package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// verifyOptions are the flags of `recoverd verify` that `run` does not have, or has
// with another meaning.
type verifyOptions struct {
	output      string
	resume      string
	restart     bool
	repair      bool
	orphans     bool
	concurrency int
	bwlimit     byteSize
}

func newVerifyCommand() *cobra.Command {
	o := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify --store DIR --catalog FILE --ownership FILE [--state-dir DIR]",
		Short: "Read and hash everything that should be stored, and say what is not as it should be",
		Long: `Read every certified blob of the owned shards from the disk and hash it; of striped
blobs, every owned piece and the manifest, which holds their digests. What is has the wrong size, is rotten (the right name, other bytes), is no regular
file or cannot be read is listed. Nothing is changed, and a daemon may be at work.

--store, --catalog, --ownership, --placement and --state-dir are those of
` + "`recoverd run`" + `; they are also taken from its --config file and from the environment. A catalog that follows
events is taken from its newest snapshots in the state directory.

With a state directory (or --resume FILE) a verification that was ended goes on
where it was, unless the catalog, the store, the ownership or --repair is another;
--restart begins anew.

--repair hands what is missing, rotten or unreadable to the running daemon, which
fetches it again and replaces what is there. Verify again when it has.

Exit codes: 0 all is as it should be; 3 something is not, or --orphans found
something; 75 it was stopped, or --repair found no daemon; 78 the store, the catalog
and the ownership do not fit together.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(o.output); err != nil {
				return err
			}
			cfg, err := sharedSettings(cmd.Flags(), sharedFlags())
			if err != nil {
				return err
			}
			if err := o.validate(cfg); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends it at once
			return o.run(ctx, cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	registerShared(cmd.Flags())
	outputFlag(cmd, &o.output)
	f := cmd.Flags()
	f.StringVar(&o.resume, "resume", "", "file that keeps how far it is (default <state-dir>/"+verifyStateFile+")")
	f.BoolVar(&o.restart, "restart", false, "begin anew")
	f.BoolVar(&o.repair, "repair", false, "hand what is wrong to the daemon of --state-dir")
	f.BoolVar(&o.orphans, "orphans", false, "list also what is stored and need not be; nothing is deleted")
	f.IntVar(&o.concurrency, "concurrency", 4, "blobs read at the same time")
	f.Var(&o.bwlimit, "bwlimit", "bytes a second to read, e.g. 50MiB; 0 for no limit")
	return cmd
}

// sharedFlags are the flags of `run` that verbs which only read take too.
func sharedFlags() []string {
	return []string{"config", "state-dir", "catalog", "ownership", "ownership-token-file", "store", "placement"}
}

// registerShared gives a verb those flags.
func registerShared(f *pflag.FlagSet) {
	all := pflag.NewFlagSet("run", pflag.ContinueOnError)
	new(runConfig).register(all)
	all.Lookup("state-dir").Usage = "the daemon's state directory"
	all.Lookup("catalog").Usage = "certified blobs, as for run; not needed where --state-dir has a catalog that follows events"
	for _, name := range sharedFlags() {
		f.AddFlag(all.Lookup(name))
	}
}

// sharedSettings puts the named flags together with the environment and the
// configuration file, as `run` does.
func sharedSettings(flags *pflag.FlagSet, names []string) (*runConfig, error) {
	given := slices.DeleteFunc(givenFlags(flags), func(g givenFlag) bool { return !slices.Contains(names, g.name) })
	s, err := readSettings(given, os.Environ())
	if err != nil {
		return nil, err
	}
	return s.cfg, nil
}

func (o *verifyOptions) validate(cfg *runConfig) error {
	var problems []error
	if cfg.Store == "" {
		problems = append(problems, errors.New("--store is required"))
	}
	if cfg.Ownership == "" {
		problems = append(problems, errors.New("--ownership is required"))
	}
	if cfg.Catalog == "" && cfg.StateDir == "" {
		problems = append(problems, errors.New("--catalog is required, or --state-dir of a daemon that follows events"))
	}
	if o.repair && cfg.StateDir == "" {
		problems = append(problems, errors.New("--repair needs --state-dir, to find the daemon"))
	}
	if o.concurrency < 1 || o.concurrency > 256 {
		problems = append(problems, fmt.Errorf("--concurrency is %d, want 1 to 256", o.concurrency))
	}
	if cfg.StateDir != "" {
		_, err := findStateDir(cfg.StateDir)
		problems = append(problems, err)
	}
	return withCode(exitUsage, errors.Join(problems...))
}

func (o *verifyOptions) keeper(cfg *runConfig) verifyKeeper {
	switch {
	case o.resume != "":
		return verifyKeeper{o.resume}
	case cfg.StateDir != "":
		return verifyKeeper{filepath.Join(cfg.StateDir, verifyStateFile)}
	}
	return verifyKeeper{}
}

func (o *verifyOptions) run(ctx context.Context, cfg *runConfig, stdout, stderr io.Writer) (err error) {
	own, err := loadOwnership(ctx, cfg)
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("ownership: %w", err))
	}
	catalog, err := openReading(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, catalog.Close()) }()
	reader, err := openMarked(ctx, cfg, catalog.tip.Network, own)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, reader.Close()) }()
	v := &verification{
		opts: o, catalog: catalog, reader: reader, keeper: o.keeper(cfg), report: newVerifyReport(stdout, o.output, reader),
		audit: o.auditOf(reader, own, max(own.Epoch, catalog.tip.Epoch)), stderr: stderr, stateDir: cfg.StateDir,
	}
	if v.audit.Placement, err = cfg.placement(); err != nil {
		return withCode(exitConfig, err)
	}
	if o.repair {
		client, err := statusapi.Dial(ctx, cfg.StateDir)
		if err != nil {
			return repairCode(err, cfg.StateDir)
		}
		defer client.Close()
		v.daemon = client
	}
	return v.run(ctx, v.keyOf(cfg, own))
}

func (o *verifyOptions) auditOf(reader *fs.Reader, own shards.Ownership, epoch uint32) audit.Config {
	return audit.Config{
		Store: reader, TotalShards: own.TotalShards, Owned: own.Owned, Epoch: epoch,
		Concurrency: o.concurrency, BytesPerSecond: int64(o.bwlimit), Uncache: fs.Uncache,
	}
}

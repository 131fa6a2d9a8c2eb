package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer/peer"
)

// runConfig is what `recoverd run` can be told. Every field is a flag, an
// environment variable and a key of the configuration file.
type runConfig struct {
	Config           string
	StateDir         string
	Catalog          string
	Ownership        string
	OwnershipToken   string // path
	Store            string
	Placement        string
	StoreCreate      bool
	Layout           string
	Durability       string
	Listen           string
	MetricsListen    string
	AllowedHosts     []string
	TLSCert          string
	TLSKey           string
	TLSClientCA      string
	Pprof            bool
	Concurrency      concurrency
	ConcurrencyMax   int
	BytesInFlight    byteSize
	BWLimit          byteSize
	Hedge            int
	GroupBlobs       int
	MinFree          byteSize
	ParkAfter        uint32
	ParkedRetry      time.Duration
	FollowInterval   time.Duration
	StopGrace        time.Duration
	ExitWhenComplete bool
	LogFormat        string
	LogLevel         string

	peerConfig
	followConfig
	SnapshotPeers  []string
	SnapshotAgree  int
	StopAtPosition uint64
}

func (c *runConfig) register(f *pflag.FlagSet) {
	c.Concurrency, c.BytesInFlight = concurrency{number: defaultConcurrency}, 256<<20
	f.StringVar(&c.Config, "config", "", "YAML file with any of these flags as keys")
	f.StringVar(&c.StateDir, "state-dir", "", "directory for progress, lock and socket; made if it is not there (required)")
	f.StringVar(&c.Catalog, "catalog", "", "certified blobs: a snapshot file, a state in bbolt, or postgres://...; with --events, the snapshot to begin with (required without --events)")
	f.StringVar(&c.Ownership, "ownership", "", "YAML or JSON file that says which shards this node owns, or the http:// or https:// URL of such a document (required)")
	f.StringVar(&c.OwnershipToken, "ownership-token-file", "", "file with the bearer token that is sent to the URL of --ownership, in one line; read again for every look")
	f.StringVar(&c.Store, "store", "", "directory of the blobs, <store>/<shard>/<id> (required)")
	f.StringVar(&c.Placement, "placement", "hashed", "how the network keeps blobs: hashed (whole, each on one shard) or striped (erasure-coded, a piece on every shard)")
	f.BoolVar(&c.StoreCreate, "store-create", true, "make the store and its shard directories while no progress claims them")
	f.StringVar(&c.Layout, "layout", "auto", "of a new store: flat, fanout (a directory for each first two hex digits), or auto")
	f.StringVar(&c.Durability, "durability", "auto", "how blobs are made durable: syncfs, fdatasync, or auto, which chooses for each volume by what its flushes take")
	c.peerConfig.register(f)
	f.StringVar(&c.Listen, "listen", "127.0.0.1:7070", "address of the page and the API: a loopback one, or any with --tls-...; empty for none")
	f.StringVar(&c.MetricsListen, "metrics-listen", "", "any address that serves only /metrics, /livez and /readyz; empty for none")
	f.StringArrayVar(&c.AllowedHosts, "allowed-host", nil, "further Host header that the status API answers to (repeatable)")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM file of the certificate for --listen, with its chain; read again when it changes, as the next two")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM file of its key")
	f.StringVar(&c.TLSClientCA, "tls-client-ca", "", "PEM file of who signs the certificates of those who may connect to --listen")
	f.BoolVar(&c.Pprof, "pprof", false, "serve /debug/pprof/ on the socket and on a loopback --listen")
	f.Var(&c.Concurrency, "concurrency", "blobs in flight, retries included; or auto: as many as fetch the most")
	f.IntVar(&c.ConcurrencyMax, "concurrency-max", worker.DefaultConcurrencyMax, "the most that --concurrency auto goes up to; a blob in flight takes two descriptors and about 200 KiB besides its bytes")
	f.Var(&c.BytesInFlight, "bytes-in-flight", "bytes in flight; a larger blob goes alone")
	f.Var(&c.BWLimit, "bwlimit", "bytes a second that all transfers together fetch, e.g. 20MiB; 0 for no limit")
	f.IntVar(&c.Hedge, "hedge", 5, "percent of further requests that may race a peer that keeps a transfer waiting; 0 for none")
	f.IntVar(&c.GroupBlobs, "group-blobs", 1_000, "blobs that wait to be made durable together; a kill costs at most these and those in flight")
	f.Var(&c.MinFree, "min-free", "free space to keep on the store's volumes; 0 is the larger of 5 % and 1 GiB")
	f.Uint32Var(&c.ParkAfter, "park-after", 10, "definite failures (a peer answered: absent, or wrong bytes) that park a blob")
	f.DurationVar(&c.ParkedRetry, "parked-retry", 10*time.Minute, "time between the tries of a parked blob")
	f.DurationVar(&c.FollowInterval, "follow-interval", 10*time.Second, "least time between two looks for a newer catalog")
	f.DurationVar(&c.StopGrace, "stop-grace", 10*time.Second, "how long blobs in flight may go on after SIGTERM")
	f.BoolVar(&c.ExitWhenComplete, "exit-when-complete", false, "exit with 0 when complete, with 3 when only parked blobs are left")
	c.followConfig.register(f)
	f.StringArrayVar(&c.SnapshotPeers, "snapshot-peer", nil, "URL of a node that serves snapshots (recoverd serve --snapshots), to begin with where this one has none (repeatable)")
	f.IntVar(&c.SnapshotAgree, "snapshot-agree", 1, "peers that must offer the same snapshot for it to be believed")
	f.Uint64Var(&c.StopAtPosition, "stop-at-position", 0, "apply events up to this position and not beyond, make a full snapshot there, and exit when complete")
	f.StringVar(&c.LogFormat, "log-format", "auto", "json, console, or auto (console on a terminal)")
	f.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
}

// validate reports what is missing, before anything is opened.
func (c *runConfig) validate() error {
	var problems []error
	for _, r := range []struct{ flag, value string }{
		{"state-dir", c.StateDir}, {"ownership", c.Ownership}, {"store", c.Store},
	} {
		if r.value == "" {
			problems = append(problems, fmt.Errorf("--%s is required", r.flag))
		}
	}
	problems = append(problems, c.validateCatalog())
	if len(c.Peers) == 0 {
		problems = append(problems, errors.New("--peer is required: without a peer nothing can be fetched"))
	}
	return withCode(exitUsage, errors.Join(problems...))
}

// validateCatalog reports what does not fit together about where blobs are listed.
func (c *runConfig) validateCatalog() error {
	switch {
	case c.Events == "" && c.Catalog == "":
		return errors.New("--catalog or --events is required")
	case c.Events == "" && (len(c.SnapshotPeers) > 0 || c.StopAtPosition != 0):
		return errors.New("--snapshot-peer and --stop-at-position need --events: a catalog that is a file is complete as it lies there")
	case c.Events != "" && isPostgres(c.Catalog):
		return errors.New("--events goes on from a snapshot file, not from Postgres")
	case c.Catalog != "" && len(c.SnapshotPeers) > 0:
		return errors.New("--catalog and --snapshot-peer both say what to begin with: give one")
	}
	return nil
}

func newRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Fetch every certified blob that this node should hold and does not",
		Long: `Walk the catalog, fetch what is missing from the peers, and keep a durable
cursor, so that a crash costs only what was in flight. Runs until it is stopped,
and goes on by itself when the catalog or the ownership changes.

Every flag can also be given as an environment variable (RECOVERD_STATE_DIR) or
as a key of the --config file; a flag wins over the environment, and that over
the file. The file is read again when it changes and at SIGHUP: --log-level,
--concurrency, --concurrency-max, --bytes-in-flight and --bwlimit are then in force at
once, and the log names what needs a restart.

Anything that serves blobs can be a peer: a web server over a store, recoverd serve,
an OCI registry, a bucket. OPERATIONS.md has the template for each, under Peers, and
what keys and tokens each is shown.

The first SIGTERM or SIGINT lets blobs in flight end for --stop-grace and saves;
the second leaves at once, and costs what was in flight.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := readSettings(givenFlags(cmd.Flags()), os.Environ())
			if err != nil {
				return err
			}
			return runWorker(cmd.Context(), settings, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	new(runConfig).register(cmd.Flags())
	return cmd
}

// runWorker wires everything together, works until it is done or told to stop,
// and says how it ended.
func runWorker(ctx context.Context, settings *settings, stdout, stderr io.Writer) error {
	cfg := settings.cfg
	if err := cfg.validate(); err != nil {
		return err
	}
	log, level, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	ctx, stop := stopSignals(ctx, log)
	defer stop()
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP) // from now on, since it would end the process
	defer signal.Stop(reloads)
	node, err := wire(ctx, cfg, log, level)
	if err != nil {
		if ctx.Err() != nil { // it was told to stop while it opened things
			fmt.Fprintln(stdout, "stopped before the work began")
			return nil
		}
		return err
	}
	reload, err := startReloader(node, settings, reloads)
	if err != nil {
		return errors.Join(withCode(exitConfig, err), node.close())
	}
	result, err := node.run(ctx)
	if err != nil {
		// Nothing is closed: a write may hang in the kernel, and the process must be
		// gone within a second (I12). The kernel takes the locks back.
		return haltCode(err)
	}
	reload.close()
	status := node.worker.Status()
	if err := node.close(); err != nil {
		return withCode(exitHalted, err)
	}
	return conclude(cfg, stdout, result, status)
}

// limits are the default ones of the worker.
func (c *runConfig) limits() worker.Limits {
	return worker.Limits{
		Concurrency: c.Concurrency.number, Auto: c.Concurrency.auto, ConcurrencyMax: c.ConcurrencyMax,
		BytesInFlight: int64(c.BytesInFlight), BytesPerSecond: int64(c.BWLimit),
	}
}

// pool are the limits of the peers.
func (c *runConfig) pool() peer.Config {
	percent := c.Hedge
	if percent == 0 {
		percent = -1 // none, where the zero value is the default
	}
	return peer.Config{HedgePercent: percent}
}

// stopSignals ends the context at the first SIGTERM or SIGINT; the second
// leaves at once. The saved progress allows for both.
func stopSignals(ctx context.Context, log zerolog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case s := <-signals:
				if !first {
					os.Exit(128 + int(s.(syscall.Signal)))
				}
				log.Info().Stringer("signal", s).Msg("stopping: syncs under way may end; a second signal leaves at once")
				cancel()
			case <-ended:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(ended)
		cancel()
	}
}

func haltCode(err error) error {
	var halt *worker.HaltError
	if !errors.As(err, &halt) {
		return err
	}
	if halt.Misconfigured {
		return withCode(exitConfig, errors.New(halt.Reason))
	}
	return withCode(exitHalted, fmt.Errorf("%w; nothing was acknowledged after it; mend the cause (a full or failing disk?) and start it again: it goes on from the last durable cursor", halt))
}

// listed bounds the ids printed at the end.
const listed = 20

// conclude prints how the run ended and turns it into the exit code. A worker
// that was stopped before the end has not failed.
func conclude(cfg *runConfig, out io.Writer, result worker.Result, s worker.Status) error {
	c := s.Counters
	switch result.Phase {
	case recovery.PhaseComplete:
		fmt.Fprintln(out, printable(s.Why))
	case recovery.PhaseIncomplete:
		fmt.Fprintf(out, "incomplete: %s\n", printable(s.Why))
	default:
		fmt.Fprintf(out, "stopped while %s; started again, it goes on from here\n", result.Phase)
	}
	fmt.Fprintf(out, "run %d in all: fetched %s blobs (%s), already stored %s, not certified any more %s, expired %s\n",
		s.Run, humanize.Comma(int64(c.Stored)), humanize.IBytes(c.StoredBytes), humanize.Comma(int64(c.AlreadyStored)),
		humanize.Comma(int64(c.NotCertified)), humanize.Comma(int64(c.Expired)))
	if len(result.Unsettled) > 0 {
		printUnsettled(out, cfg.StateDir, result.Unsettled)
	}
	if cfg.ExitWhenComplete && result.Phase == recovery.PhaseIncomplete {
		return &exitError{code: exitIncomplete} // the ids are printed already
	}
	return nil
}

func printUnsettled(out io.Writer, stateDir string, list []recovery.Unsettled) {
	fmt.Fprintf(out, "%d unsettled:\n", len(list))
	for _, u := range list[:min(len(list), listed)] {
		fmt.Fprintf(out, "  %s %s, %d tries: %s\n", u.ID, u.State, u.Attempts, printable(u.LastError))
	}
	if len(list) > listed {
		fmt.Fprintf(out, "  ... and %d more: recoverd checkpoint show --unsettled --state-dir %s\n", len(list)-listed, filepath.Clean(stateDir))
	}
}

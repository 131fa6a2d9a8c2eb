package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/transfer"
)

func newSnapshotFetchCommand() *cobra.Command {
	var where snapshotDir
	cfg := transfer.Config{}
	var at, digest, output string
	cmd := &cobra.Command{
		Use:   "fetch --peer URL... (--dir DIR | --state-dir DIR)",
		Short: "Fetch the snapshots of other nodes that lead furthest",
		Long: `Ask the peers for their snapshots, choose those that lead furthest (or to --at), and
fetch what is missing, piece by piece. Every piece is checked against its digest,
the whole against the one in its name. A fetch that was killed goes on with what is
there. Peers that contradict each other stop it: --digest says which one is meant.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			if len(cfg.Peers) == 0 {
				return withCode(exitUsage, errors.New("--peer is required"))
			}
			if cfg.Target, err = parseTarget(at); err != nil {
				return err
			}
			if digest != "" {
				if err := cfg.Digest.UnmarshalText([]byte(digest)); err != nil {
					return withCode(exitUsage, fmt.Errorf("--digest: %w", err))
				}
			}
			if where.dir != "" {
				if err := os.MkdirAll(where.dir, 0o700); err != nil {
					return withCreateCode(err)
				}
			}
			if cfg.Archive, err = where.open(); err != nil {
				return err
			}
			cfg.Progress = fetchProgress(cmd.ErrOrStderr())
			result, err := transfer.Fetch(cmd.Context(), cfg)
			if err != nil {
				return fetchCode(err)
			}
			if output == "json" {
				return writeIndented(cmd.OutOrStdout(), viewFetch(result))
			}
			return writeFetch(cmd.OutOrStdout(), result)
		},
	}
	where.register(cmd)
	outputFlag(cmd, &output)
	f := cmd.Flags()
	f.StringArrayVar(&cfg.Peers, "peer", nil, "URL of a node that serves snapshots, without /snapshots (repeatable, at least one)")
	f.StringVar(&at, "at", "latest", `position to reach, or "latest"`)
	f.StringVar(&cfg.Network, "network", "", "network whose snapshots are meant; by default the directory's, or the one that all peers are of")
	f.IntVar(&cfg.Agree, "agree", 1, "peers that must offer the same snapshot for it to be believed")
	f.StringVar(&digest, "digest", "", "digest of the snapshot that is meant where peers contradict each other")
	return cmd
}

// fetchEvery is the time between two lines of progress.
const fetchEvery = 10 * time.Second

func fetchProgress(out io.Writer) func(transfer.Progress) {
	told := time.Now()
	return func(p transfer.Progress) {
		if time.Since(told) < fetchEvery {
			return
		}
		told = time.Now()
		fmt.Fprintf(out, "%s: %s of %s\n", p.Name, size(p.Done), size(p.Total))
	}
}

// fetchCode gives an error of fetching its exit code.
func fetchCode(err error) error {
	coded := planCode(err)
	var exit *exitError
	switch {
	case errors.As(coded, &exit):
		return coded
	case errors.Is(err, transfer.ErrNoAnswer), errors.Is(err, transfer.ErrGaveUp), errors.Is(err, archive.ErrBusy):
		return withCode(exitTryAgain, err)
	}
	return err
}

// fetchView is a fetch in JSON.
type fetchView struct {
	Snapshots []snapshotView  `json:"snapshots"` // the full one first
	Fetched   int64           `json:"fetched"`   // bytes
	Reused    int64           `json:"reused"`    // bytes that lay here
	Peers     []fetchPeerView `json:"peers"`
}

type fetchPeerView struct {
	Peer  string `json:"peer"`
	Bytes int64  `json:"bytes"` // that were right
	Lied  bool   `json:"lied"`
	Error string `json:"error,omitempty"`
}

func viewFetch(r transfer.Result) fetchView {
	v := fetchView{Snapshots: viewSnapshots(r.Route.Entries()), Fetched: r.Fetched, Reused: r.Reused, Peers: []fetchPeerView{}}
	for _, p := range r.Peers {
		peer := fetchPeerView{Peer: p.Peer, Bytes: p.Bytes, Lied: p.Lied}
		if p.Err != nil {
			peer.Error = p.Err.Error()
		}
		v.Peers = append(v.Peers, peer)
	}
	return v
}

func writeFetch(out io.Writer, r transfer.Result) error {
	var t table
	for _, e := range r.Route.Entries() {
		t.row(e.Kind.String(), "%s: %s", e.Name, e.Bound)
	}
	t.row("fetched", "%s, and %s lay here already", size(r.Fetched), size(r.Reused))
	for _, p := range r.Peers {
		switch {
		case p.Lied:
			t.row("peer", "%s LIED: %v", p.Peer, p.Err)
		case p.Err != nil:
			t.row("peer", "%s: %v", p.Peer, p.Err)
		default:
			t.row("peer", "%s: %s", p.Peer, size(p.Bytes))
		}
	}
	return t.write(out, 0)
}

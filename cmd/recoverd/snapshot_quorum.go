package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newSnapshotQuorumCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "quorum FILE...",
		Short: "Say which nodes' snapshots of one state agree, and which are in the minority",
		Long: `Say which nodes' snapshots of one state agree, and which are in the minority. Each
file is proven first, as by verify, and then grouped by its digest. They must be
of one state: of one kind, network, epoch and position (of Walrus: layout, epoch,
next event and part); what is not is never taken for disagreement.

Exits with 0 if all agree; with 1 if they do not, or if one is damaged or cannot
be read; with 78 if they are not comparable, or if there is nothing to compare.`,
		Args: minArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			q, err := takeQuorum(cmd.Context(), args)
			if err != nil {
				return err
			}
			if output == "json" {
				err = writeIndented(cmd.OutOrStdout(), q)
			} else {
				err = q.write(cmd.OutOrStdout())
			}
			return cmp.Or(err, q.verdict())
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// quorum is what some nodes' files say of one state, or of several.
type quorum struct {
	Agree  bool          `json:"agree"`
	States []quorumState `json:"states"` // more than one: they are not comparable
	Bad    []quorumBad   `json:"bad"`    // damaged, or not readable
	Rows   uint64        `json:"rows"`   // in the largest file
	good   int           // files that can be compared
}

// quorumState is the files of one state.
type quorumState struct {
	State   string        `json:"state"`
	Digests []quorumGroup `json:"digests"` // by falling number of files
}

// quorumGroup is the files that agree.
type quorumGroup struct {
	Digest   string   `json:"digest"`
	Majority bool     `json:"majority"` // more than half of the state's files
	Files    []string `json:"files"`
}

type quorumBad struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// takeQuorum proves every file and groups them.
func takeQuorum(ctx context.Context, paths []string) (*quorum, error) {
	if err := checkTwice(paths); err != nil {
		return nil, err
	}
	q, seen := &quorum{States: []quorumState{}, Bad: []quorumBad{}}, map[string]bool{}
	for _, path := range paths {
		v, key := verifySnapshot(ctx, path)
		if seen[key] {
			continue // another chunk of the same snapshot
		}
		seen[key] = true
		if !v.OK {
			q.Bad = append(q.Bad, quorumBad{path, v.Error})
			continue
		}
		q.good++
		rows := uint64(0)
		for _, n := range v.Rows {
			rows += n
		}
		q.Rows = max(q.Rows, rows)
		q.add(inspectedText(*v.inspection), v.Digest, path)
	}
	q.settle()
	return q, nil
}

// checkTwice refuses to let a file agree with itself (hazard 64).
func checkTwice(paths []string) error {
	var infos []os.FileInfo
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			infos = append(infos, nil)
			continue // told when it is read
		}
		if same := slices.IndexFunc(infos, func(o os.FileInfo) bool { return o != nil && os.SameFile(o, info) }); same >= 0 {
			return withCode(exitConfig, fmt.Errorf("%s and %s are one file, and cannot vote twice", paths[same], paths[i]))
		}
		infos = append(infos, info)
	}
	return nil
}

// inspectedText names all that files must share to be comparable.
func inspectedText(i inspection) string {
	if i.Kind == "walrus" {
		text := fmt.Sprintf("walrus layout %s, epoch %d, next event %d", i.Layout, i.Epoch, i.Position)
		if i.Parts > 1 {
			text += fmt.Sprintf(", part %d of %d", i.Part, i.Parts)
		}
		return text
	}
	text := fmt.Sprintf("%s, network %q, epoch %d, position %d", i.Kind, i.Network, i.Epoch, i.Position)
	if i.Base != nil {
		text += fmt.Sprintf(", over position %d with digest %v", i.Base.Position, i.Base.Digest)
	}
	return text
}

func (q *quorum) add(state, digest, path string) {
	at := slices.IndexFunc(q.States, func(s quorumState) bool { return s.State == state })
	if at < 0 {
		at = len(q.States)
		q.States = append(q.States, quorumState{State: state})
	}
	s := &q.States[at]
	i := slices.IndexFunc(s.Digests, func(g quorumGroup) bool { return g.Digest == digest })
	if i < 0 {
		i = len(s.Digests)
		s.Digests = append(s.Digests, quorumGroup{Digest: digest})
	}
	s.Digests[i].Files = append(s.Digests[i].Files, path)
}

// settle orders the groups and finds majorities.
func (q *quorum) settle() {
	for _, s := range q.States {
		slices.SortStableFunc(s.Digests, func(a, b quorumGroup) int { return len(b.Files) - len(a.Files) })
		s.Digests[0].Majority = 2*len(s.Digests[0].Files) > s.files()
	}
	q.Agree = q.verdict() == nil
}

func (s quorumState) files() (n int) {
	for _, g := range s.Digests {
		n += len(g.Files)
	}
	return n
}

// verdict is the error that the verb ends with; nil: all agree.
func (q *quorum) verdict() error {
	switch {
	case len(q.States) > 1:
		return withCode(exitConfig, fmt.Errorf("the snapshots are of %d states, which cannot be compared", len(q.States)))
	case len(q.Bad) > 0:
		return fmt.Errorf("%d of %s cannot be trusted", len(q.Bad), plural(q.good+len(q.Bad), "snapshot"))
	case q.good < 2:
		return withCode(exitConfig, errors.New("there is nothing to compare: it takes two snapshots"))
	case len(q.States[0].Digests) > 1:
		return errors.New("the snapshots disagree; recoverd snapshot diff A B names what differs")
	case q.Rows == 0:
		return withCode(exitConfig, errors.New("there is nothing to compare: the snapshots are empty"))
	}
	return nil
}

func (q *quorum) write(out io.Writer) error {
	t := &table{}
	for _, s := range q.States {
		t.row(s.State, "%s", plural(s.files(), "file"))
		for i, g := range s.Digests {
			role := "no majority"
			switch {
			case len(s.Digests) == 1 && s.files() == 1:
				role = "alone"
			case len(s.Digests) == 1:
				role = "all agree"
			case g.Majority:
				role = "majority"
			case s.Digests[0].Majority || i > 0 && len(g.Files) < len(s.Digests[0].Files):
				role = "MINORITY"
			}
			t.row("  "+g.Digest, "%d of %d, %s: %s", len(g.Files), s.files(), role, strings.Join(g.Files, ", "))
		}
	}
	for _, b := range q.Bad {
		t.row("bad", "%s: %s", b.File, b.Error)
	}
	return t.write(out, 0)
}

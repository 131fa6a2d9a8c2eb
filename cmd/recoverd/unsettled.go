package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
)

func newUnsettledCommand() *cobra.Command {
	cmd := newGroup("unsettled", "List the blobs that are not done, say why, and try them again")
	show := newExplainCommand()
	show.Use = "show ID"
	cmd.AddCommand(newUnsettledListCommand(), newRetryCommand(), show)
	return cmd
}

// unsettledQuery are the flags of `recoverd unsettled list`.
type unsettledQuery struct {
	daemonVerb
	state string
	limit int
	after string
}

// unsettledView is a part of the unsettled list and where it is from.
type unsettledView struct {
	Running bool      `json:"running"` // a daemon answered; otherwise At is when it was saved
	At      time.Time `json:"at,omitzero"`
	inUse   bool      // and a process holds the directory all the same
	statusapi.UnsettledPage
}

// errListLost: the number of unsettled blobs is known, and not which they are.
var errListLost = errors.New("the copy that can be read does not hold the list")

func newUnsettledListCommand() *cobra.Command {
	q := &unsettledQuery{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the blobs that are not done, with the last failure of each",
		Long: `List the blobs that were handed out and are not settled, in id order: in flight,
waiting for their next try, or parked. Without a daemon, list those that were
saved last, and say when.

The list says nothing of blobs that the scan has not reached: that none is listed
does not mean that the work is done ("recoverd status" says that).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			view, err := q.view(cmd.Context())
			if err != nil {
				return err
			}
			if q.output == "json" {
				return writeIndented(cmd.OutOrStdout(), view)
			}
			return q.print(cmd.OutOrStdout(), view)
		},
	}
	q.register(cmd)
	f := cmd.Flags()
	f.StringVar(&q.state, "state", "", "only those in a state: "+strings.Join(entryStates(), ", "))
	f.IntVar(&q.limit, "limit", 100, "list at most so many; 0 is all")
	f.StringVar(&q.after, "after", "", "begin after this blob id")
	return cmd
}

// entryStates lists the words for where an unsettled blob stands.
func entryStates() (words []string) {
	for s := recovery.Waiting; s <= recovery.Parked; s++ {
		words = append(words, s.String())
	}
	return words
}

// view asks the daemon, or reads what was saved if there is none.
func (q *unsettledQuery) view(ctx context.Context) (view unsettledView, err error) {
	var after *recovery.BlobID
	switch {
	case q.state != "" && !slices.Contains(entryStates(), q.state):
		return view, withCode(exitUsage, fmt.Errorf("--state %q is not one of %s", q.state, strings.Join(entryStates(), ", ")))
	case q.limit < 0:
		return view, withCode(exitUsage, fmt.Errorf("--limit %d is negative", q.limit))
	case q.after != "":
		ids, err := parseIDs([]string{q.after})
		if err != nil {
			return view, err
		}
		after = &ids[0]
	}
	err = q.askOr(ctx, func(client *statusapi.Client) error {
		view, err = q.fromDaemon(ctx, client, after)
		return err
	}, func(saved checkpoint.Description) error {
		view, err = q.fromSaved(saved, after)
		return err
	})
	return view, err
}

// pageSize is how many entries are asked for at a time.
const pageSize = 5_000

// fromDaemon asks for page after page until enough are in the state asked for.
func (q *unsettledQuery) fromDaemon(ctx context.Context, client *statusapi.Client, after *recovery.BlobID) (unsettledView, error) {
	view := unsettledView{Running: true, At: time.Now()}
	for {
		page, err := client.Unsettled(ctx, after, pageSize)
		if err != nil {
			return view, err
		}
		view.Total = page.Total
		if view.add(q, page) {
			return view, nil
		}
		if after = page.NextAfter; after == nil {
			return view, nil
		}
	}
}

func (q *unsettledQuery) fromSaved(saved checkpoint.Description, after *recovery.BlobID) (unsettledView, error) {
	view := unsettledView{}
	p := saved.Record.Progress
	if p == nil {
		return view, withCode(exitFailure, fmt.Errorf("%s, and no progress was saved there: what is not done is not known", nobodyAnswers(saved)))
	}
	if saved.List != checkpoint.ListWhole {
		return view, withCode(exitFailure, fmt.Errorf("%w: %s, as of %s (the list is %s in %s)", errListLost,
			plural(saved.Entries, "unsettled blob"), timeText(p.SavedAt), saved.List, saved.Source))
	}
	view.At, view.Total, view.inUse = p.SavedAt, saved.Entries, saved.InUse
	list := slices.Clone(p.Unsettled)
	slices.SortFunc(list, func(a, b recovery.Unsettled) int { return a.ID.Compare(b.ID) })
	view.add(q, statusapi.NewUnsettledPage(list, after, 0))
	return view, nil
}

// add takes what is asked for out of a page, and reports whether that is enough.
func (v *unsettledView) add(q *unsettledQuery, page statusapi.UnsettledPage) (enough bool) {
	if v.Unsettled == nil {
		v.Unsettled = []statusapi.UnsettledBlob{}
	}
	for _, u := range page.Unsettled {
		if q.state != "" && u.State != q.state {
			continue
		}
		if q.limit > 0 && len(v.Unsettled) == q.limit {
			v.NextAfter = &v.Unsettled[q.limit-1].ID
			return true
		}
		v.Unsettled = append(v.Unsettled, u)
	}
	return false
}

func (q *unsettledQuery) print(out io.Writer, view unsettledView) error {
	var text strings.Builder
	if !view.Running {
		fmt.Fprintf(&text, "%s\n", asOf(view.At, view.inUse))
	}
	for _, u := range view.Unsettled {
		fmt.Fprintf(&text, "%s\n    %s\n", u.ID, printable(entryText(u, view)))
	}
	which := "unsettled"
	if q.state != "" {
		which = q.state
	}
	switch {
	case view.Total == 0:
		text.WriteString("nothing is unsettled; whether the work is done: recoverd status\n")
	case view.NextAfter != nil:
		fmt.Fprintf(&text, "%s shown, %s unsettled in all; more: --after %s\n", count(len(view.Unsettled)), count(view.Total), view.NextAfter)
	default:
		fmt.Fprintf(&text, "%s %s shown, %s unsettled in all\n", count(len(view.Unsettled)), which, count(view.Total))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// entryText says in a line why a blob is not done.
func entryText(u statusapi.UnsettledBlob, view unsettledView) string {
	text := u.State
	if u.Size != nil {
		text += ", " + size(*u.Size)
	}
	if u.Attempts > 0 {
		text += fmt.Sprintf(", %s, %s", plural(u.Attempts, "attempt"), plural(u.Tries, "definite failure"))
	}
	if u.Reason != "" {
		text += fmt.Sprintf(", %s: %s", u.Reason, u.LastError)
	}
	if wait := u.NextTry.Sub(view.At); view.Running && !u.NextTry.IsZero() && wait > 0 {
		text += "; next try in " + spell(wait)
	}
	return text
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
)

func newRetryCommand() *cobra.Command {
	v := &daemonVerb{}
	var all bool
	cmd := &cobra.Command{
		Use:   "retry (ID... | --all)",
		Short: "Try unsettled blobs again now, parked ones too",
		Long: `Try blobs of the unsettled list again now, whatever their next try would be: when
a peer has got back what it was missing, for example. The answer comes when that
is durable; "recoverd explain ID" says what became of it.

The exit code is 1 if one of the ids is not unsettled. Without a daemon nothing is
changed (75); all that is unsettled is tried again when it starts.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			if all == (len(ids) > 0) {
				return withCode(exitUsage, errors.New("which blobs? give ids, or --all"))
			}
			return v.ask(cmd.Context(), func(client *statusapi.Client) error {
				return v.retry(cmd, client, ids)
			})
		},
	}
	v.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all that wait, parked ones too")
	return cmd
}

// retry makes ids due, all that wait without any.
func (v *daemonVerb) retry(cmd *cobra.Command, client *statusapi.Client, ids []recovery.BlobID) (err error) {
	var result worker.RetryResult
	if len(ids) == 0 {
		result, err = client.RetryAll(cmd.Context())
	} else {
		result, err = client.Retry(cmd.Context(), ids)
	}
	if err != nil {
		return err
	}
	if v.output == "json" {
		err = writeIndented(cmd.OutOrStdout(), result)
	} else {
		err = printRetry(cmd.OutOrStdout(), result)
	}
	if err == nil && len(result.Unknown) > 0 {
		return &exitError{code: exitFailure} // they are printed already
	}
	return err
}

func printRetry(out io.Writer, result worker.RetryResult) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s tried again now\n", be(result.Due, "blob"))
	for _, id := range result.Busy {
		fmt.Fprintf(&text, "%s is being tried already\n", id)
	}
	for _, id := range result.Unknown {
		fmt.Fprintf(&text, "%s is not unsettled; why: recoverd explain %s\n", id, id)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery/statusapi"
	"github.com/recoverd/recoverd/recovery/worker"
)

// limitsVerb are the flags of `recoverd limits`.
type limitsVerb struct {
	daemonVerb
	concurrency   int
	bytesInFlight byteSize
	bwLimit       byteSize
	reset         bool
}

func newLimitsCommand() *cobra.Command {
	v := &limitsVerb{}
	cmd := &cobra.Command{
		Use:   "limits [--concurrency N] [--bytes-in-flight SIZE] [--bwlimit SIZE] | --default",
		Short: "Show or change how much the daemon does at a time",
		Long: `Show the limits in force, or change those that are given. The answer comes when
the change is in force and durable: it holds over restarts, and wins over flags
and configuration, until --default goes back to these. What is in flight above a
lower limit ends first.

Without a daemon nothing is changed (75).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			change := v.change(cmd.Flags())
			if v.reset && change != (statusapi.LimitsChange{}) {
				return withCode(exitUsage, errors.New("--default goes back to all configured limits; give it alone"))
			}
			return v.ask(cmd.Context(), func(client *statusapi.Client) error {
				limits, err := v.apply(cmd, client, change)
				if err != nil {
					return err
				}
				if v.output == "json" {
					return writeIndented(cmd.OutOrStdout(), limits)
				}
				return printLimits(cmd.OutOrStdout(), limits)
			})
		},
	}
	v.register(cmd)
	f := cmd.Flags()
	f.IntVar(&v.concurrency, "concurrency", 0, "blobs in flight, retries included")
	f.Var(&v.bytesInFlight, "bytes-in-flight", "bytes in flight, e.g. 256MiB; a larger blob goes alone")
	f.Var(&v.bwLimit, "bwlimit", "bytes a second that all transfers together fetch, e.g. 20MiB; 0 for no limit")
	f.BoolVar(&v.reset, "default", false, "go back to what flags and configuration say")
	return cmd
}

// change holds the limits that are given.
func (v *limitsVerb) change(flags *pflag.FlagSet) (c statusapi.LimitsChange) {
	inFlight, perSecond := int64(v.bytesInFlight), int64(v.bwLimit)
	if flags.Changed("concurrency") {
		c.Concurrency = &v.concurrency
	}
	if flags.Changed("bytes-in-flight") {
		c.BytesInFlight = &inFlight
	}
	if flags.Changed("bwlimit") {
		c.BytesPerSecond = &perSecond
	}
	return c
}

func (v *limitsVerb) apply(cmd *cobra.Command, client *statusapi.Client, change statusapi.LimitsChange) (worker.Limits, error) {
	switch {
	case v.reset:
		return client.ResetLimits(cmd.Context())
	case change != (statusapi.LimitsChange{}):
		return client.SetLimits(cmd.Context(), change)
	}
	doc, err := client.Status(cmd.Context())
	if err == nil && doc.Limits == nil {
		err = errors.New("the daemon does not tell its limits")
	}
	if err != nil {
		return worker.Limits{}, err
	}
	return *doc.Limits, nil
}

func printLimits(out io.Writer, l worker.Limits) error {
	t := &table{}
	t.row("concurrency", "%s in flight", plural(l.Concurrency, "blob"))
	t.row("bytes in flight", "%s", size(l.BytesInFlight))
	t.row("bandwidth", "%s", bandwidth(l))
	return t.write(out, 0)
}

// bandwidth spells the limit of bytes a second.
func bandwidth(l worker.Limits) string {
	if l.BytesPerSecond == 0 {
		return "no limit"
	}
	return size(l.BytesPerSecond) + "/s"
}

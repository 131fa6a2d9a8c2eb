package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// limitsVerb are the flags of `recoverd limits`.
type limitsVerb struct {
	daemonVerb
	concurrency   concurrency
	ceiling       int
	bytesInFlight byteSize
	bwLimit       byteSize
	reset         bool
}

func newLimitsCommand() *cobra.Command {
	v := &limitsVerb{}
	cmd := &cobra.Command{
		Use:   "limits [--concurrency auto|N] [--concurrency-max N] [--bytes-in-flight SIZE] [--bwlimit SIZE] | --default",
		Short: "Show or change how much the daemon does at a time",
		Long: `Show the limits in force, or change those that are given. The answer comes when
the change is in force and durable: it holds over restarts, and wins over flags
and configuration, until --default goes back to these. What is in flight above a
lower limit ends first. --concurrency auto looks for the number of blobs in flight
that fetches the most, and --concurrency N fixes it.

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
	f.Var(&v.concurrency, "concurrency", "blobs in flight, retries included, or auto")
	f.IntVar(&v.ceiling, "concurrency-max", 0, "the most that auto goes up to")
	f.Var(&v.bytesInFlight, "bytes-in-flight", "bytes in flight, e.g. 256MiB; a larger blob goes alone")
	f.Var(&v.bwLimit, "bwlimit", "bytes a second that all transfers together fetch, e.g. 20MiB; 0 for no limit")
	f.BoolVar(&v.reset, "default", false, "go back to what flags and configuration say")
	return cmd
}

// change holds the limits that are given.
func (v *limitsVerb) change(flags *pflag.FlagSet) (c statusapi.LimitsChange) {
	inFlight, perSecond := int64(v.bytesInFlight), int64(v.bwLimit)
	if flags.Changed("concurrency") {
		if c.Auto = &v.concurrency.auto; !*c.Auto {
			c.Concurrency = &v.concurrency.number
		}
	}
	if flags.Changed("concurrency-max") {
		c.ConcurrencyMax = &v.ceiling
	}
	if flags.Changed("bytes-in-flight") {
		c.BytesInFlight = &inFlight
	}
	if flags.Changed("bwlimit") {
		c.BytesPerSecond = &perSecond
	}
	return c
}

func (v *limitsVerb) apply(cmd *cobra.Command, client *statusapi.Client, change statusapi.LimitsChange) (statusapi.LimitsView, error) {
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
		return statusapi.LimitsView{}, err
	}
	return *doc.Limits, nil
}

func printLimits(out io.Writer, l statusapi.LimitsView) error {
	t := &table{}
	t.row("concurrency", "%s in flight", blobsOf(l))
	t.row("bytes in flight", "%s", size(l.BytesInFlight))
	t.row("bandwidth", "%s", bandwidth(l))
	return t.write(out, 0)
}

// blobsOf spells the limit of blobs in flight.
func blobsOf(l statusapi.LimitsView) string {
	text := plural(l.Concurrency, "blob")
	if l.Auto {
		text += fmt.Sprintf(" (auto, %s to %s)", count(l.ConcurrencyMin), count(l.ConcurrencyMax))
	}
	return text
}

// bandwidth spells the limit of bytes a second.
func bandwidth(l statusapi.LimitsView) string {
	if l.BytesPerSecond == 0 {
		return "no limit"
	}
	return size(l.BytesPerSecond) + "/s"
}

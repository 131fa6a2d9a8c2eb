package eventlog

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain makes fewer random histories than rapid would: each of these has
// hundreds of states, and makes files of many.
func TestMain(m *testing.M) {
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("12")
	}
	goleak.VerifyTestMain(m)
}

package postgres

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test program restores in a process of its own when it is told to, so that
// it can be killed.
func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		os.Exit(victim())
	}
	goleak.VerifyTestMain(m)
}

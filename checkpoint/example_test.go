package checkpoint_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
)

func Example() {
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := checkpoint.Open(checkpoint.Config{Dir: dir})
	if err != nil {
		log.Fatal(err) // ErrLocked: exit 75; ErrCreate: exit 73 or 74
	}
	_, report, err := store.Load()
	if err != nil {
		log.Fatal(err)
	}
	writer := checkpoint.NewWriter(store)
	run := &recovery.Progress{Run: report.LastRun + 1}
	writer.Reset(recovery.Record{Progress: run}, func(err error) {
		fmt.Println("run", run.Run, "begins:", err)
	})
	if err := writer.Flush(context.Background()); err != nil {
		log.Fatal(err) // ErrFailed: exit 74
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	_, report, err = checkpoint.ReadMirror(dir)
	fmt.Println("last run:", report.LastRun, err)
	// Output:
	// run 1 begins: <nil>
	// last run: 1 <nil>
}

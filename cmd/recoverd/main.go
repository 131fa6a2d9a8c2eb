// Command recoverd makes a storage node whole again: it walks the certified
// blobs, fetches what is missing from peers, and remembers durably how far it
// got. See the README.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Command probe is a program small enough to be built in a test.
package main

import "os"

var answer = "as written"

func main() { _, _ = os.Stdout.WriteString(answer) }

package main

import (
	"fmt"
	"strconv"
)

// concurrency is a flag: a number of blobs in flight, or auto.
type concurrency struct {
	number int // with auto, the one to begin with
	auto   bool
}

// defaultConcurrency is also where auto begins.
const defaultConcurrency = 64

func (c *concurrency) String() string {
	if c.auto {
		return "auto"
	}
	return strconv.Itoa(c.number)
}

func (c *concurrency) Type() string { return "auto|N" }

// Set reads a number or auto. What range numbers must be in is for the limits to say.
func (c *concurrency) Set(text string) error {
	if text == "auto" {
		*c = concurrency{number: defaultConcurrency, auto: true}
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%q is neither a number nor auto", text)
	}
	*c = concurrency{number: n}
	return nil
}

// most is the highest number of blobs in flight that it may lead to.
func (c *concurrency) most(ceiling int) int {
	if c.auto {
		return ceiling
	}
	return c.number
}

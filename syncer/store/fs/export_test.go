package fs

// Named is a configuration whose drafts have temporary names, as on a file system
// that knows no files without one.
func Named(c Config) Config {
	c.named = true
	return c
}

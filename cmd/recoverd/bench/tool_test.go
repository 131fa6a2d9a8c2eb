package bench

import (
	"os"
	"path/filepath"
	"strconv"
)

// tool is one of those that are compared.
type tool struct {
	name     string
	verifies string
	durable  string
	// command returns the program and its arguments. It runs in the store's root, into
	// which it has to write the tree.
	command func(j job) []string
	// clumsy: it is expected to end with another code than 0 where it finds files
	// there. What it left is checked all the same.
	clumsy bool
}

// job is what a tool is told to fetch.
type job struct {
	program string // recoverd
	plain   string // the plain Go programs
	set     *blobSet
	server  string // URL
	// resumes: part of the tree is there, whole files only.
	resumes bool
	// Of recoverd.
	dir, ownership string
}

const (
	ours       = "recoverd"
	limitName  = "plain Go (the limit)"
	unsafeName = "plain Go, renamed first (not safe)"
	asMany     = 64 // transfers at once, of everybody
)

// tools are those that are compared, recoverd first. Each has the flags that were the
// fastest of those tried.
func tools() []*tool {
	return []*tool{
		{name: ours, verifies: "SHA-256 of every blob", durable: "yes: two flushes, a rename between; a durable cursor", command: runRecoverd},
		{name: limitName, verifies: "SHA-256 of every blob", durable: "yes: the same flushes; no cursor", command: runPlain("two-flushes")},
		{name: unsafeName, verifies: "SHA-256 of every blob", durable: "no: right names, wrong bytes after a power cut", command: runPlain("one-flush")},
		{name: "curl --parallel", verifies: "no", durable: "no", command: runCurl, clumsy: true},
		{name: "rclone copy", verifies: "no: HTTP has no checksums", durable: "no", command: runRclone},
		{name: "aria2c", verifies: "no", durable: "no", command: runAria, clumsy: true},
	}
}

func runRecoverd(j job) []string {
	return []string{
		j.program, "run", "--state-dir", filepath.Join(j.dir, "state"), "--store", filepath.Join(j.dir, "store"),
		"--catalog", j.set.catalog, "--ownership", j.ownership, "--peer", j.server + "/" + j.set.name + "/{shard}/{id}",
		"--exit-when-complete", "--listen", "", "--min-free", "1", "--log-level", "warn",
	}
}

func runPlain(how string) func(j job) []string {
	return func(j job) []string {
		return []string{j.plain, how, j.server + "/" + j.set.name, j.set.paths, strconv.FormatInt(j.set.size, 10)}
	}
}

func runCurl(j job) []string {
	args := []string{"curl", "--disable", "--silent", "--fail", "--parallel", "--parallel-max", strconv.Itoa(asMany), "--config", j.set.curl}
	if j.resumes {
		args = append(args, "--continue-at", "-") // --skip-existing came with 8.10
	}
	return args
}

func runRclone(j job) []string {
	args := []string{
		"rclone", "copy", ":http:", ".", "--config", os.DevNull, "--http-url", j.server + "/" + j.set.name, "--http-no-head",
		"--files-from-raw", j.set.paths, "--no-traverse", "--transfers", strconv.Itoa(asMany), "--checkers", strconv.Itoa(asMany),
		"--ignore-checksum", "--no-update-modtime", "--local-no-set-modtime", "--local-no-check-updated", "--local-no-preallocate",
		"--max-backlog", "100000", "--stats", "0",
	}
	if j.resumes {
		return append(args, "--ignore-existing")
	}
	return append(args, "--no-check-dest")
}

func runAria(j job) []string {
	args := []string{
		"aria2c", "--no-conf", "--quiet", "--input-file", j.set.aria, "--max-concurrent-downloads", strconv.Itoa(asMany),
		"--file-allocation=none", "--auto-save-interval=0", "--max-download-result=0", "--async-dns=false", "--deferred-input=true",
	}
	if j.resumes {
		args = append(args, "--auto-file-renaming=false", "--allow-overwrite=false")
	}
	return args
}

// environment is that of every program: nothing of the caller's but where programs
// are found.
func environment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, asPlain + "=1"}
}

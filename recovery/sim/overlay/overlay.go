// Package overlay builds packages of this module with faults planted in them, by the
// -overlay flag of the go command: the changed files lie elsewhere, and the source
// tree stays as it is. So no fault, and no failpoint, is ever in the code that is
// shipped.
//
// A table of faults is held against the source by Check, in a test of the package
// that has the table: a fault that no longer applies, or no longer compiles, fails
// it. It is used by tests alone.
package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
)

// Overlay is a set of planted faults, ready for builds.
type Overlay struct {
	root string // of the module
	file string // the JSON
	pkgs []string
}

// New writes the changed files and their index into dir, which the caller removes
// after the last build. Without faults it is an overlay all the same, of nothing.
func New(dir string, faults ...Fault) (*Overlay, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	changed, err := files(root, faults, planted)
	if err != nil {
		return nil, err
	}
	return write(dir, root, changed)
}

func write(dir, root string, changed map[string][]byte) (*Overlay, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	o := &Overlay{root: root, file: filepath.Join(dir, "overlay.json")}
	index := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range changed {
		to := filepath.Join(dir, strconv.Itoa(len(index.Replace))+"-"+path.Base(name))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return nil, err
		}
		index.Replace[filepath.Join(root, name)] = to
		o.pkgs = append(o.pkgs, "./"+path.Dir(name))
	}
	text, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	return o, os.WriteFile(o.file, text, 0o600)
}

// Root returns the directory of the module that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		_, err = os.Stat(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil:
			return dir, nil
		case errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir):
			err = nil
		}
	}
	return "", fmt.Errorf("overlay: find the module's root: %w", err)
}

// Build compiles the main package pkg, a path from the module's root, to the file out.
func (o *Overlay) Build(ctx context.Context, pkg, out string) error {
	return o.compile(ctx, "build", "-o", out, "./"+pkg)
}

// Compile compiles the packages that have faults, and links no program.
func (o *Overlay) Compile(ctx context.Context) error {
	// Listing what a package exports compiles it.
	return o.compile(ctx, "list", append([]string{"-export"}, o.pkgs...)...)
}

// BuildTests compiles the tests of packages, paths from the module's root, into a
// directory: DIR/NAME.test, by the last element of the path. They must run in the
// package's directory.
func (o *Overlay) BuildTests(ctx context.Context, dir string, pkgs ...string) error {
	args := []string{"-c", "-vet=off", "-o", dir + string(filepath.Separator)}
	for _, pkg := range pkgs {
		args = append(args, "./"+pkg)
	}
	return o.compile(ctx, "test", args...)
}

// Command is the command that runs tests compiled by BuildTests where they expect to be.
func (o *Overlay) Command(ctx context.Context, pkg, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(o.root, pkg)
	return cmd
}

// compile runs the go command; its error holds what the compiler said.
func (o *Overlay) compile(ctx context.Context, verb string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{verb, "-overlay", o.file}, args...)...)
	cmd.Dir = o.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("overlay: go %s %v: %w\n%s", verb, args, err, out)
	}
	return nil
}

// Check reports whether every fault applies, alone, and compiles. Faults on different
// texts are compiled together, so that a table costs few builds. dir is a directory of
// the caller, which is empty.
func Check(ctx context.Context, dir string, faults ...Fault) error {
	root, err := Root()
	if err != nil {
		return err
	}
	var groups [][]Fault
	for _, f := range faults {
		if _, err := files(root, []Fault{f}, planted); err != nil {
			return err
		}
		at := slices.IndexFunc(groups, func(g []Fault) bool {
			_, err := files(root, append(slices.Clone(g), f), planted)
			return err == nil
		})
		if at < 0 {
			groups, at = append(groups, nil), len(groups)
		}
		groups[at] = append(groups[at], f)
	}
	var errs []error
	for i, group := range groups {
		sub := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
		o, err := New(sub, group...)
		if err != nil {
			return err
		}
		errs = append(errs, o.Compile(ctx))
	}
	return errors.Join(errs...)
}

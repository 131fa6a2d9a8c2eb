package syncer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
)

func TestClassify(t *testing.T) {
	answers := func(reasons ...recovery.Reason) error {
		e := &FetchError{}
		for _, r := range reasons {
			e.Answers = append(e.Answers, PeerAnswer{Peer: "p", Reason: r, Err: errors.New("no")})
		}
		return e
	}
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for name, c := range map[string]struct {
		err      error
		reason   recovery.Reason
		definite bool
	}{
		"nobody to ask":           {answers(), recovery.Unreachable, false},
		"unreachable":             {answers(recovery.Unreachable), recovery.Unreachable, false},
		"one of two lacks it":     {answers(recovery.Unreachable, recovery.Absent), recovery.Absent, true},
		"one lies":                {answers(recovery.Absent, recovery.WrongBytes), recovery.WrongBytes, true},
		"busy":                    {answers(recovery.PeerFailed), recovery.PeerFailed, false},
		"slow peer":               {answers(recovery.Deadline), recovery.Deadline, false},
		"fetched wrapped":         {fmt.Errorf("x: %w", answers(recovery.Absent)), recovery.Absent, true},
		"time up":                 {fmt.Errorf("%w: %w", ErrDeadline, answers(recovery.Unreachable)), recovery.Deadline, false},
		"full disk":               {storeError("write", full), recovery.NoSpace, false},
		"over quota":              {storeError("create", syscall.EDQUOT), recovery.NoSpace, false},
		"bad disk":                {storeError("write", syscall.EIO), recovery.StoreError, false},
		"failed flush, full disk": {fmt.Errorf("%w: flush: %w", ErrNotDurable, syscall.ENOSPC), recovery.NotDurable, false},
		"cannot tell":             {fmt.Errorf("%w: x", ErrUnverifiable), recovery.Unverifiable, false},
		"no shards":               {ErrOtherSet, recovery.OtherSet, false},
		"fetcher forgot to look":  {fmt.Errorf("%w: x", ErrWrongBytes), recovery.WrongBytes, true},
		"cancelled":               {fmt.Errorf("x: %w", context.Canceled), recovery.Stopped, false},
		"no contract at all":      {errors.New("boom"), recovery.PeerFailed, false},
		"ENOSPC from a peer":      {syscall.ENOSPC, recovery.PeerFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			want := recovery.Outcome{
				Result: recovery.Cancelled, Reason: c.reason, Definite: c.definite, Err: c.err.Error(),
			}
			if diff := cmp.Diff(want, classify(c.err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorTextIsOneShortLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"two\nlines\ttab\x1b[31m", "two lines tab [31m"},
		{"bad \xff utf-8", "bad   utf-8"},
		{"turned \u202e round, line\u2028two", "turned   round, line two"},
		{strings.Repeat("ä", 150), strings.Repeat("ä", 100)},
		{"x" + strings.Repeat("ä", 150), "x" + strings.Repeat("ä", 99)},
		{" \n ", ""},
	} {
		if got := oneLine(c.in); got != c.want {
			t.Errorf("oneLine(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzErrorText(f *testing.F) {
	f.Add("plain")
	f.Add("two\nlines\xff\u202e")
	f.Add(strings.Repeat("€", 300))
	f.Fuzz(func(t *testing.T, text string) {
		got := oneLine(text)
		if len(got) > recovery.MaxErrorText || !utf8.ValidString(got) {
			t.Fatalf("oneLine(%q) = %q", text, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || !unicode.IsGraphic(r) {
				t.Fatalf("oneLine(%q) keeps %q", text, r)
			}
		}
	})
}

package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/sim/hostile"
)

// hostileIDs are all of them, or every fifth where time is short.
func hostileIDs(s *peerScene) (list []hostile.ID) {
	for i, id := range hostile.IDs(s.large) {
		if *securityFull || i%5 == 0 {
			list = append(list, id)
		}
	}
	return list
}

// What is no id is refused in the address of a request, as it is and with escapes, and
// nothing of it comes back that a browser would take for more than text.
func TestSecurityHostileIDsInAddresses(t *testing.T) {
	s := newPeerScene(t)
	var list []peerRequest
	for _, id := range hostileIDs(s) {
		for form, text := range map[string]string{"as it is": id.Text, "escaped": url.PathEscape(id.Text), "escaped twice": url.PathEscape(url.PathEscape(id.Text))} {
			for _, before := range []string{"/", "/0/", "/manifest/", "/pieces/0/", "/snapshots/"} {
				if id.OK {
					continue // it is served or not found, and asked for in another test
				}
				if strings.HasPrefix(text, "?") || strings.HasPrefix(text, "#") || text == "" {
					continue // then there is no id in the address
				}
				if path, _, found := strings.Cut(text, "?"); found && hostileOK(path) {
					continue // what comes behind is the query, which is not looked at
				}
				list = append(list, peerRequest{name: fmt.Sprintf("%s %s, %s", before, id.Name, form), raw: ask("GET "+before+text, peerHost, ""), code: refused, plain: true})
			}
		}
	}
	var wrong []string
	for _, r := range list {
		synctest.Test(t, func(*testing.T) {
			s.sends(r, func(format string, args ...any) { wrong = append(wrong, r.name+": "+fmt.Sprintf(format, args...)) })
		})
	}
	for _, text := range wrong[:min(len(wrong), 20)] {
		t.Error(text)
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile ids in addresses asked of serve", Tried: uint64(len(list)), Unit: "requests", Violations: uint64(len(wrong))})
}

// hostileOK reports whether a text is an id.
func hostileOK(text string) bool {
	_, err := parseIDs([]string{text})
	return err == nil
}

// What is no id is refused as an argument, by the usage code and a line that steers no
// terminal; and nothing is made of it.
func TestSecurityHostileIDsAsArguments(t *testing.T) {
	s := newPeerScene(t)
	before := files(t, s.dir)
	list := hostileIDs(s)
	tried := 0
	for _, id := range list {
		for _, verb := range [][]string{{"explain", "--"}, {"retry", "--"}, {"unsettled", "show", "--"}, {"unsettled", "list", "--after"}} {
			if id.OK || id.Text == "" && verb[1] == "list" { // no --after
				continue
			}
			tried++
			stdout, stderr, code := line(t, append(verb, id.Text)...)
			text := strings.TrimSuffix(stderr, "\n")
			if code != exitUsage || stdout != "" || len(text) > 700 || printable(text) != text || !strings.Contains(text, "not a blob id") {
				t.Errorf("%v of %s: exit code %d, %q %q", verb, id.Name, code, stdout, stderr)
			}
		}
	}
	if made := difference(files(t, s.dir), before); len(made) > 0 {
		t.Errorf("it made %q", made)
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile ids as arguments of four verbs", Tried: uint64(tried), Unit: "command lines", Violations: failed(t)})
}

// What is no id is refused in every kind of list that a catalog is made of, and no
// catalog comes of it. White space around an id is the list's, not the id's.
func TestSecurityHostileIDsInLists(t *testing.T) {
	s := newPeerScene(t)
	list, tried := hostileIDs(s), 0
	for _, id := range list {
		quoted, err := json.Marshal(id.Text)
		if err != nil {
			t.Fatal(err)
		}
		for format, text := range map[string]string{
			"ids": id.Text + "\n", "sha256sum": id.Text + "  x\n", "oci": "sha256:" + id.Text + "\n", "ndjson": fmt.Sprintf("{\"id\":%s}\n", quoted),
		} {
			first, _, _ := strings.Cut(strings.TrimSpace(id.Text), "\n")
			fields := strings.Fields(id.Text)
			if id.OK || format != "ndjson" && (len(fields) == 0 || hostileOK(fields[0]) || hostileOK(first)) {
				continue // it is an id, with something behind it, or there is nothing
			}
			tried++
			out := s.path("of-" + format + ".rsnap")
			stdout, stderr, code := lineWith(t, text, "catalog", "import", "--in", "-", "--format", format, "--out", out)
			if _, err := os.Lstat(out); code != exitConfig || err == nil || stdout != "" || strings.ContainsAny(stderr, "\x1b\x00\x07\r\u009b\u202e") || len(stderr) > 2000 {
				t.Errorf("%s in %s: exit code %d, %v, %q %q", id.Name, format, code, err, stdout, stderr)
			}
		}
	}
	evidence.Record(t, evidence.Entry{Layer: "security", What: "hostile ids in lists that catalogs are made of", Tried: uint64(tried), Unit: "lists", Violations: failed(t)})
}

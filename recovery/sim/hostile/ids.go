// Package hostile makes what somebody may send who means harm, for tests to try on
// everything that reads it.
package hostile

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// ID is a text in the place of a blob id.
type ID struct {
	Name string // what was done to a good one
	Text string
	OK   bool // it is a blob id all the same, in one of the two forms
}

// fragments are put into ids.
func fragments() []string {
	return []string{
		"../", "..\\", "/", "//", "./", ".", "..", "%2e%2e%2f", "%252e%252e%252f", "%c0%ae%c0%ae/", "%00", "\x00", "\n", "\r\n", "\t", " ", "\u00a0", "\u2028", "\u202e", "\ufeff", "\u200d",
		"\x1b[2J", "\u009b31m", "\x7f", "'", "\"", "' OR 1=1--", "; DROP TABLE blobs;", "`id`", "$(id)", "|id", "&&id", "*", "?", "~", "#", "&a=b", "%", "%s", "%n", "{id}", "{{.}}", "<b>", "</script>",
		"&lt;", "=1+1", "@SUM(1)", "+", "-", "_", "=", "==", "\\", ":", "@", "а" /* Cyrillic */, "０" /* full width */, "e\u0301", "\xff", "\xc3\x28", "g", "G", "Z", "0x", "--help", "://", "sha256:",
	}
}

// IDs returns more than 500 texts made of a good id, none twice.
func IDs(good [32]byte) (all []ID) {
	seen := map[string]bool{}
	add := func(name, text string) {
		if !seen[text] {
			seen[text] = true
			all = append(all, ID{Name: name, Text: text, OK: isID(text)})
		}
	}
	bases := map[string]string{"hex": hex.EncodeToString(good[:]), "base64": base64.RawURLEncoding.EncodeToString(good[:])}
	for _, form := range []string{"hex", "base64"} {
		base := bases[form]
		for _, f := range fragments() {
			for place, at := range map[string]int{"before": 0, "within": len(base) / 2, "after": len(base)} {
				add(fmt.Sprintf("%s, %q %s", form, f, place), base[:at]+f+base[at:])
				// As long as the good one, so that length alone does not tell.
				from := min(at, max(0, len(base)-len(f)))
				add(fmt.Sprintf("%s, %q instead, %s", form, f, place), base[:from]+f+base[min(len(base), from+len(f)):])
			}
		}
		for _, n := range []int{-2, -1, 1, 2, 10_000, 1 << 20} {
			text := base + strings.Repeat("0", max(0, n))
			add(fmt.Sprintf("%s, %+d characters", form, n), text[:min(len(text), len(base)+n)])
		}
		for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
			add(fmt.Sprintf("%s, bits %d at the end", form, i), base[:len(base)-1]+string(c))
		}
	}
	for name, text := range map[string]string{
		"upper case": strings.ToUpper(bases["hex"]), "mixed case": "aB" + bases["hex"][2:], "padded": bases["base64"] + "=", "standard alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(bases["base64"]),
		"empty": "", "passwords": "../../../../etc/passwd", "a drive": `C:\Windows\win.ini`, "a device": "/dev/zero", "a share": `\\evil\share`, "a file URL": "file:///etc/passwd",
		"binary": string(good[:]), "all zeros but one": strings.Repeat("0", 63), "null": "null", "a number": "1e64", "a list": `["` + bases["hex"] + `"]`, "two": bases["hex"] + "," + bases["hex"],
		"two words": bases["hex"] + " " + bases["hex"], "quoted": `"` + bases["hex"] + `"`, "a flag": "-" + bases["hex"], "a long flag": "--state-dir=/tmp", "wide": strings.Repeat("é", 32), "wider": strings.Repeat("\u0660", 32),
	} {
		add(name, text)
	}
	return all
}

// isID says in another way than the program does what an id is: the bits behind the
// last byte of base64 are zero.
func isID(text string) bool {
	return regexp.MustCompile(`\A(?:[0-9a-fA-F]{64}|[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])\z`).MatchString(text)
}

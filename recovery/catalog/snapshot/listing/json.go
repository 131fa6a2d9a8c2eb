package listing

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/recoverd/recoverd/recovery"
)

// parseJSON reads a line that is one flat JSON object. It is strict where
// encoding/json is not: every key is known, written as it is, and there once;
// numbers are whole; nothing is escaped, because nothing need be.
func parseJSON(line []byte, r *Row) error {
	s := jsonScanner{src: line}
	var seen [keyDigest + 1]bool
	err := s.object(func(key []byte, value jsonValue) error {
		k := keyOf(key)
		switch {
		case k == keyUnknown:
			return fmt.Errorf("unknown key %.40q", key)
		case seen[k]:
			return fmt.Errorf("key %q is there twice", key)
		}
		seen[k] = true
		if err := r.set(k, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err == nil && !seen[keyID] {
		err = errors.New("there is no id")
	}
	return err
}

// jsonKey is one of the keys there are.
type jsonKey uint8

const (
	keyUnknown jsonKey = iota
	keyID
	keySize
	keyCertified
	keyEnd
	keyPosition
	keyEncoding
	keyDigest
)

func keyOf(text []byte) jsonKey {
	switch string(text) {
	case "id":
		return keyID
	case "size":
		return keySize
	case "certified_epoch":
		return keyCertified
	case "end_epoch":
		return keyEnd
	case "position":
		return keyPosition
	case "encoding":
		return keyEncoding
	case "digest":
		return keyDigest
	}
	return keyUnknown
}

// set sets the field that a key names. Null is as good as no key, but for the id,
// and the digest, of which it says that it is unknown.
func (r *Row) set(key jsonKey, v jsonValue) (err error) {
	r.digested = r.digested || key == keyDigest
	if v.null && key != keyID {
		return nil
	}
	if quoted := key == keyID || key == keyEncoding || key == keyDigest; v.quoted != quoted {
		if quoted {
			return errors.New("want a string")
		}
		return errors.New("want a number")
	}
	switch key {
	case keyID:
		r.ID, err = recovery.ParseBlobID(string(v.text))
	case keySize:
		r.Size, err = parseNumber[int64](v.text, math.MaxInt64)
	case keyCertified:
		r.CertifiedEpoch, err = parseNumber[uint32](v.text, math.MaxUint32)
	case keyEnd:
		r.EndEpoch, err = parseNumber[uint32](v.text, math.MaxUint32)
	case keyPosition:
		if r.Position, err = parseNumber[uint64](v.text, math.MaxUint64); err == nil && r.Position == 0 {
			err = errors.New("positions begin at 1")
		}
	case keyEncoding:
		r.Encoding, err = parseEncoding(string(v.text))
	case keyDigest:
		r.Digest, err = parseDigest(v.text)
	}
	return err
}

func parseEncoding(text string) (recovery.Encoding, error) {
	for e := recovery.Raw; e <= recovery.Walrus; e++ {
		if e.String() == text {
			return e, nil
		}
	}
	return 0, fmt.Errorf("%.40q is not raw, striped or walrus", text)
}

func parseDigest(text []byte) (d [32]byte, err error) {
	if len(text) != 2*len(d) {
		return d, errors.New("want 64 hex digits")
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return d, errors.New("want 64 hex digits")
	}
	return d, nil
}

// jsonValue is a string, a number or null.
type jsonValue struct {
	text         []byte
	quoted, null bool
}

var errJSON = errors.New("not one flat JSON object")

// jsonScanner reads one flat object.
type jsonScanner struct {
	src []byte
	at  int
}

// object calls visit for each key and value.
func (s *jsonScanner) object(visit func(key []byte, v jsonValue) error) error {
	if !s.next('{') {
		return errJSON
	}
	for first := true; !s.next('}'); first = false {
		if !first && !s.next(',') {
			return errJSON
		}
		key, err := s.value()
		if err != nil {
			return err
		}
		if !key.quoted || !s.next(':') {
			return errJSON
		}
		v, err := s.value()
		if err != nil {
			return err
		}
		if err := visit(key.text, v); err != nil {
			return err
		}
	}
	if s.blank(); s.at != len(s.src) {
		return errJSON
	}
	return nil
}

func (s *jsonScanner) blank() {
	for s.at < len(s.src) && strings.IndexByte(" \t\r\n", s.src[s.at]) >= 0 {
		s.at++
	}
}

// next takes a mark, if it comes next.
func (s *jsonScanner) next(mark byte) bool {
	s.blank()
	if s.at == len(s.src) || s.src[s.at] != mark {
		return false
	}
	s.at++
	return true
}

func (s *jsonScanner) value() (v jsonValue, err error) {
	if s.next('"') {
		n := bytes.IndexByte(s.src[s.at:], '"')
		if n < 0 {
			return v, errJSON
		}
		v = jsonValue{text: s.src[s.at : s.at+n], quoted: true}
		s.at += n + 1
		for _, c := range v.text {
			if c < ' ' || c > '~' || c == '\\' {
				return v, fmt.Errorf("%.40q has an escape, or another character than plain ASCII", v.text)
			}
		}
		return v, nil
	}
	from := s.at
	for s.at < len(s.src) && strings.IndexByte(" \t\r\n,:{}[]\"", s.src[s.at]) < 0 {
		s.at++
	}
	v.text = s.src[from:s.at]
	v.null = string(v.text) == "null"
	if len(v.text) == 0 {
		return v, errJSON
	}
	return v, nil
}

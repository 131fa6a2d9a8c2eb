package httpprovider

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// ErrConfig reports a Config that cannot be used.
var ErrConfig = errors.New("httpprovider: bad config")

// The bounds of Config.Poll.
const (
	MinPoll = 10 * time.Millisecond
	MaxPoll = time.Hour
)

// Config says where the document is served and how eagerly it is looked at.
type Config struct {
	// URL answers GET with the document; http or https, without user and password,
	// which would end up in logs.
	URL string
	// TokenFile holds the bearer token that is sent, in one line; empty: none is.
	// It is read for every look, so that a token can be replaced.
	TokenFile string
	// Poll is the time between two looks; default 5 s, taken to be at least MinPoll
	// and at most MaxPoll.
	Poll time.Duration
	// Timeout is the most that one look may take, from the connection to the body's
	// end; default 10 s.
	Timeout time.Duration
	// Refetch is how long an entity tag is believed; default 1 min. Tags made of a
	// time and a size miss a change within the same second.
	Refetch time.Duration
	// TLS is for https; nil: the system's certificates.
	TLS *tls.Config
	// Now is asked for Status.Loaded only; default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Poll == 0 {
		c.Poll = 5 * time.Second
	}
	c.Poll = min(max(c.Poll, MinPoll), MaxPoll)
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Refetch == 0 {
		c.Refetch = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate reports, wrapping ErrConfig, the first thing that is wrong. Zero
// durations stand for their defaults.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the URL cannot be read: %w", ErrConfig, errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("%w: not an http or https URL with a host", ErrConfig)
	case u.User != nil:
		return fmt.Errorf("%w: the URL holds a user or password: put a bearer token into a file instead", ErrConfig)
	case c.Poll < 0:
		return fmt.Errorf("%w: poll is %v", ErrConfig, c.Poll)
	case c.Timeout < 0:
		return fmt.Errorf("%w: timeout is %v", ErrConfig, c.Timeout)
	case c.Refetch < 0:
		return fmt.Errorf("%w: refetch is %v", ErrConfig, c.Refetch)
	}
	return nil
}

// shown is the URL for messages: a query may hold a secret.
func (c Config) shown() string {
	base, _, _ := strings.Cut(c.URL, "#")
	base, _, _ = strings.Cut(base, "?")
	return base
}

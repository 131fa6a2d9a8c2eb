package s3peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/recoverd/recoverd/recovery/keyfile"
)

const (
	lookEvery   = time.Second      // between two looks at files
	tryEvery    = 10 * time.Second // between two tries to get what could not be had
	forGood     = 24 * time.Hour   // between two tries where credentials have no end
	roleTimeout = 5 * time.Second  // of one request for the credentials of a role
)

// purse holds credentials: what was got last, until its files change or its time ends.
// Ones that cannot be renewed are used for as long as they hold.
type purse struct {
	paths   []string // that are read
	wants   []source // in this order
	trouble func(error)
	turn    chan struct{} // held by whoever gets new ones

	mu    sync.Mutex
	value credentials.Value // the last that were good
	err   error             // of the last try
	seen  keyfile.Stamp     // of the files, at the last try
	look  time.Time         // no look at them before
	stale bool              // they are others by now
	again time.Time         // no other try before, unless they are
	told  string
}

// source is one place that credentials may come from.
type source struct {
	name string
	get  func(context.Context) (credentials.Value, error)
}

// errNothing says that a source has no credentials, and no trouble either.
var errNothing = errors.New("none")

func newPurse(keys, profile string, trouble func(error)) *purse {
	p := &purse{trouble: trouble, turn: make(chan struct{}, 1)}
	if keys != keysChain {
		p.paths = []string{keys}
		p.wants = []source{{keys, fromFile(keys, profile)}}
		return p
	}
	p.paths = sharedFiles()
	p.wants = []source{{"environment", fromEnvironment}, {"shared files", fromFile("", profile)}, {"role", fromRole}}
	return p
}

// get returns credentials that hold now. It waits for others who get new ones, no
// longer than ctx.
func (p *purse) get(ctx context.Context) (credentials.Value, error) {
	if value, err, fresh := p.held(); fresh {
		return value, err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return credentials.Value{}, ctx.Err()
	}
	if value, err, fresh := p.held(); fresh { // by the one before
		return value, err
	}
	seen := keyfile.Look(p.paths...)
	value, err := p.fetch(ctx)
	if ctx.Err() != nil {
		return credentials.Value{}, ctx.Err()
	}
	return p.keep(value, err, seen)
}

// held returns what there is, unless it is time to get it anew.
func (p *purse) held() (_ credentials.Value, _ error, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.After(p.look) {
		p.look = now.Add(lookEvery)
		p.stale = p.stale || !keyfile.Look(p.paths...).Same(p.seen)
	}
	value, err := p.still(now)
	return value, err, !p.stale && now.Before(p.again)
}

// still returns the last credentials after an error, for as long as they hold.
func (p *purse) still(now time.Time) (credentials.Value, error) {
	if ends := p.value.Expiration; p.value.AccessKeyID != "" && (ends.IsZero() || now.Before(ends)) {
		return p.value, nil
	}
	return credentials.Value{}, p.err
}

// keep takes what a try has brought.
func (p *purse) keep(value credentials.Value, err error, seen keyfile.Stamp) (credentials.Value, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, text := time.Now(), ""
	p.err, p.seen, p.stale, p.again = err, seen, false, now.Add(tryEvery)
	if err != nil {
		text = err.Error()
	} else {
		p.value = value
		p.again = now.Add(forGood)
		if !value.Expiration.IsZero() {
			p.again = now.Add(value.Expiration.Sub(now) * 4 / 5)
		}
	}
	if text != p.told && p.trouble != nil {
		p.trouble(err)
	}
	p.told = text
	return p.still(now)
}

// fetch asks one source after the other.
func (p *purse) fetch(ctx context.Context) (credentials.Value, error) {
	var said []string
	for _, s := range p.wants {
		value, err := s.get(ctx)
		if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
			return value, nil
		}
		if err == nil {
			err = errNothing
		}
		said = append(said, fmt.Sprintf("%s: %v", s.name, err))
	}
	return credentials.Value{}, fmt.Errorf("no credentials (%s)", strings.Join(said, "; "))
}

func fromEnvironment(context.Context) (credentials.Value, error) {
	return (&credentials.EnvAWS{}).RetrieveWithCredContext(nil)
}

// sharedFiles are those that AWS's own tools read.
func sharedFiles() (paths []string) {
	home, err := os.UserHomeDir()
	for variable, name := range map[string]string{"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"} {
		if path := os.Getenv(variable); path != "" {
			paths = append(paths, path)
		} else if err == nil {
			paths = append(paths, filepath.Join(home, ".aws", name))
		}
	}
	return paths
}

// fromFile reads a profile of a shared credentials file, or of the usual ones. What
// their parser says may quote a line, so it is not passed on.
func fromFile(path, profile string) func(context.Context) (credentials.Value, error) {
	return func(ctx context.Context) (credentials.Value, error) {
		provider := &credentials.FileAWSCredentials{Filename: path, Profile: profile}
		value, err := provider.RetrieveWithCredContext(&credentials.CredContext{Context: ctx, Client: roleClient()})
		var file *fs.PathError
		switch {
		case err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "":
			return value, nil
		case path == "" && !anyThere(sharedFiles()):
			return value, errNothing
		case errors.As(err, &file):
			return value, file
		}
		return value, errors.New("cannot be read, or lacks the profile or its keys")
	}
}

func anyThere(paths []string) bool {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// fromRole asks for the credentials of the role that the machine, the container or the
// pod has.
func fromRole(ctx context.Context) (credentials.Value, error) {
	if os.Getenv("AWS_EC2_METADATA_DISABLED") == "true" {
		return credentials.Value{}, errNothing
	}
	value, err := (&credentials.IAM{}).RetrieveWithCredContext(&credentials.CredContext{Context: ctx, Client: roleClient()})
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // without the URL
	}
	return value, err
}

// roleClient asks as peers are asked: no proxy of the environment, no redirects.
func roleClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       roleTimeout,
	}
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/recoverd/recoverd/recovery/keyfile"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/s3peer"
)

// peerConfig is what `recoverd run` can be told about its peers. Each entry of the
// lists of files is FILE, for all peers, or HOST=FILE or HOST:PORT=FILE.
type peerConfig struct {
	Peers      []string
	PeerCAs    []string
	PeerCerts  []string
	PeerKeys   []string
	PeerTokens []string
}

func (c *peerConfig) register(f *pflag.FlagSet) {
	f.StringArrayVar(&c.Peers, "peer", nil, "URL template of a peer, e.g. http://10.0.0.7:8080/{shard}/{id}; also {id_base64url}, {aa}, {piece} (for the manifest of a striped blob {shard} and {piece} are the word manifest); or s3://bucket/{id}?endpoint=URL&region=NAME (repeatable, at least one)")
	f.StringArrayVar(&c.PeerCAs, "peer-ca", nil, "PEM file of who signs the certificates of https peers; HOST[:PORT]=FILE for one of them (repeatable; read again when it changes, as the next three)")
	f.StringArrayVar(&c.PeerCerts, "peer-cert", nil, "PEM file of the certificate that https peers are shown, with its chain; HOST[:PORT]=FILE for one of them (repeatable)")
	f.StringArrayVar(&c.PeerKeys, "peer-key", nil, "PEM file of its key; HOST[:PORT]=FILE for one of them (repeatable)")
	f.StringArrayVar(&c.PeerTokens, "peer-token-file", nil, "file with the bearer token for https peers and those on loopback, in one line; HOST[:PORT]=FILE for one peer, whatever its scheme (repeatable)")
}

// hostFiles are the files of one flag, by host, host:port, or "" for all peers.
type hostFiles map[string]string

func parseHostFiles(flag string, values []string) (hostFiles, error) {
	files := hostFiles{}
	for _, value := range values {
		host, path, named := strings.Cut(value, "=")
		if !named || strings.Contains(host, "/") {
			host, path = "", value
		}
		switch _, twice := files[host]; {
		case path == "":
			return nil, fmt.Errorf("--%s %q names no file", flag, value)
		case twice && host == "":
			return nil, fmt.Errorf("--%s is given twice for all peers: HOST[:PORT]=FILE is for one", flag)
		case twice:
			return nil, fmt.Errorf("--%s is given twice for %s", flag, host)
		}
		files[host] = path
	}
	return files, nil
}

// of returns the file for a peer; named says that its host was.
func (h hostFiles) of(t peer.Template) (path string, named bool) {
	host := (&url.URL{Host: t.Host()}).Hostname()
	for _, name := range []string{t.Address(), t.Host(), host} {
		if path, named = h[name]; named {
			return path, true
		}
	}
	return h[""], false
}

// openedPeer is a peer with what it was made of.
type openedPeer struct {
	peer.Peer
	template peer.Template // of its requests
	config   httppeer.Config
}

// peerTemplate reads what --peer may be, and returns the template of its requests.
func peerTemplate(text string) (t peer.Template, l *s3peer.Location, err error) {
	if strings.HasPrefix(text, s3peer.Scheme) {
		location, err := s3peer.Parse(text)
		return location.Template(), &location, err
	}
	t, err = peer.ParseTemplate(text)
	return t, nil, err
}

// peerOpener makes peers of their templates. Peers with the same files share what is
// read of them. It connects to nothing.
type peerOpener struct {
	cas, certs, keys, tokens hostFiles
	trouble                  func(error) // with files that have changed

	clients map[keyfile.ClientFiles]*keyfile.Kept[*tls.Config]
	bearers map[string]*keyfile.Kept[string]
	signers []*s3peer.Signer
}

// keyLook is the time between two looks at the files of peers.
const keyLook = time.Second

func newPeerOpener(cfg *peerConfig, trouble func(error)) (*peerOpener, error) {
	o := &peerOpener{
		trouble: trouble, clients: map[keyfile.ClientFiles]*keyfile.Kept[*tls.Config]{}, bearers: map[string]*keyfile.Kept[string]{},
	}
	var problems []error
	for _, l := range []struct {
		flag   string
		values []string
		into   *hostFiles
	}{
		{"peer-ca", cfg.PeerCAs, &o.cas}, {"peer-cert", cfg.PeerCerts, &o.certs}, {"peer-key", cfg.PeerKeys, &o.keys},
		{"peer-token-file", cfg.PeerTokens, &o.tokens},
	} {
		var err error
		*l.into, err = parseHostFiles(l.flag, l.values)
		problems = append(problems, err, l.into.strangers(l.flag, cfg.Peers))
	}
	return o, errors.Join(problems...)
}

// strangers reports hosts that no peer has.
func (h hostFiles) strangers(flag string, peers []string) error {
	unknown := maps.Clone(h)
	delete(unknown, "")
	for _, text := range peers {
		t, _, err := peerTemplate(text)
		if err != nil {
			continue // that is reported elsewhere
		}
		for _, name := range []string{t.Address(), t.Host(), (&url.URL{Host: t.Host()}).Hostname()} {
			delete(unknown, name)
		}
	}
	var problems []error
	for _, host := range slices.Sorted(maps.Keys(unknown)) {
		problems = append(problems, fmt.Errorf("--%s is for %s, and no --peer has that host", flag, host))
	}
	return errors.Join(problems...)
}

// open makes a peer with a bound on its connections.
func (o *peerOpener) open(text string, connections int) (*openedPeer, error) {
	template, location, err := peerTemplate(text)
	if err != nil {
		return nil, err
	}
	p := &openedPeer{template: template, config: httppeer.Config{Concurrency: connections}}
	if p.config.Keys, err = o.keysFor(template); err != nil {
		return nil, fmt.Errorf("peer %s: %w", template.Name(), err)
	}
	if location != nil {
		signer, err := s3peer.NewSigner(*location, o.trouble)
		if err != nil {
			return nil, fmt.Errorf("peer %s: %w", location.Name(), err)
		}
		o.signers = append(o.signers, signer)
		p.config.Name, p.config.Wrap = location.Name(), signer.Wrap
	} else if p.config.Token, err = o.tokenFor(template); err != nil {
		return nil, fmt.Errorf("peer %s: %w", template.Name(), err)
	}
	p.Peer, err = httppeer.New(template, p.config)
	return p, err
}

// clientFiles names the TLS files for a peer.
func (o *peerOpener) clientFiles(t peer.Template) (f keyfile.ClientFiles) {
	f.CA, _ = o.cas.of(t)
	f.Cert, _ = o.certs.of(t)
	f.Key, _ = o.keys.of(t)
	return f
}

func (o *peerOpener) keysFor(t peer.Template) (func() *tls.Config, error) {
	files := o.clientFiles(t)
	if t.Scheme() != "https" || files == (keyfile.ClientFiles{}) {
		return nil, nil
	}
	kept := o.clients[files]
	if kept == nil {
		var err error
		if kept, err = keyfile.Keep(keyfile.Files{Paths: files.Paths(), Every: keyLook, Trouble: o.trouble}, files.Read); err != nil {
			return nil, err
		}
		o.clients[files] = kept
	}
	return kept.Get, nil
}

// tokenFile returns the file of the token that a peer is sent, or "". Over plain HTTP
// everybody on the way can read a token, so a peer gets one only on loopback or where
// it was named; one that has user info gets that.
func (o *peerOpener) tokenFile(t peer.Template) string {
	path, named := o.tokens.of(t)
	if t.Authorization() != "" || t.Scheme() != "https" && !named && !onLoopback(t) {
		return ""
	}
	return path
}

func (o *peerOpener) tokenFor(t peer.Template) (func() string, error) {
	path := o.tokenFile(t)
	if path == "" {
		return nil, nil
	}
	kept := o.bearers[path]
	if kept == nil {
		var err error
		files := keyfile.Files{Paths: []string{path}, Every: keyLook, Trouble: o.trouble}
		if kept, err = keyfile.Keep(files, func() (string, error) { return keyfile.Token(path) }); err != nil {
			return nil, err
		}
		o.bearers[path] = kept
	}
	return kept.Get, nil
}

func onLoopback(t peer.Template) bool {
	host, _, err := net.SplitHostPort(t.Address())
	ip, notIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || notIP == nil && ip.Unmap().IsLoopback())
}

// doubts reports what is wrong with the files of the opened peers, though they could be
// read: certificates out of their time, files without keys, and secrets that everybody may
// read.
func (o *peerOpener) doubts(ctx context.Context, now time.Time) error {
	var problems []error
	for files := range o.clients {
		problems = append(problems, files.Check(now))
	}
	for path := range o.bearers {
		problems = append(problems, keyfile.Exposed(path))
	}
	for _, signer := range o.signers {
		problems = append(problems, signer.Check(ctx))
	}
	return errors.Join(problems...)
}

func (n *node) openPeers(ctx context.Context) error {
	opener, err := newPeerOpener(&n.cfg.peerConfig, n.tellPeerFiles)
	if err != nil {
		return withCode(exitConfig, err)
	}
	var peers []peer.Peer
	for _, text := range n.cfg.Peers {
		// The worker bounds what is in flight, and that may change.
		p, err := opener.open(text, worker.MaxConcurrency)
		if err != nil {
			return withCode(exitConfig, err)
		}
		peers = append(peers, p.Peer)
	}
	if err := opener.doubts(ctx, time.Now()); err != nil {
		n.log.Warn().Str("error", err.Error()).Msg("key or token files of peers are used, and should not be as they are")
	}
	pool, err := peer.New(n.cfg.pool(), peers...)
	if err != nil {
		return withCode(exitConfig, err)
	}
	n.pool = pool
	n.closeLater(pool)
	return nil
}

func (n *node) tellPeerFiles(err error) {
	if err == nil {
		n.log.Info().Msg("the key and token files of peers can be used again")
		return
	}
	n.log.Warn().Str("error", err.Error()).Msg("key or token files of peers cannot be used, good ones from before stay in force")
}

// checkPeers opens the peers, which connects to nothing.
func checkPeers(ctx context.Context, cfg *runConfig) (string, error) {
	opener, err := newPeerOpener(&cfg.peerConfig, nil)
	if err != nil {
		return "", err
	}
	var problems []error
	untold := 0
	for _, text := range cfg.Peers {
		p, err := opener.open(text, 1)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if path, _ := opener.tokens.of(p.template); path != "" && p.config.Token == nil && p.config.Wrap == nil {
			untold++
		}
		problems = append(problems, p.Close())
	}
	note := plural(len(cfg.Peers), "template")
	if untold > 0 {
		note += fmt.Sprintf("; %d get no token: over plain http, or with user info", untold)
	}
	return note, errors.Join(append(problems, opener.doubts(ctx, time.Now()))...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/recoverd/recoverd/recovery/statusapi"
)

// openServers listens before the work begins, so that an address in use is told
// at once.
func (n *node) openServers(ctx context.Context) (err error) {
	if n.token, err = statusapi.OpenToken(n.cfg.StateDir); err != nil {
		return tokenCode(err)
	}
	api, err := statusapi.New(n.statusConfig())
	if err != nil {
		return withCode(exitConfig, err)
	}
	socket, err := statusapi.ListenUnix(ctx, statusapi.SocketPath(n.cfg.StateDir))
	if err != nil {
		return withCreateCode(err)
	}
	n.servers = append(n.servers, func(ctx context.Context) error { return api.Serve(ctx, socket) })
	if n.cfg.Listen != "" {
		l, err := n.listen(ctx)
		if err != nil {
			return errors.Join(listenCode("listen", err), socket.Close())
		}
		n.servers = append(n.servers, func(ctx context.Context) error { return api.Serve(ctx, l) })
	}
	if n.cfg.MetricsListen != "" {
		l, err := statusapi.ListenAny(ctx, n.cfg.MetricsListen)
		if err != nil {
			return errors.Join(listenCode("metrics-listen", err), socket.Close())
		}
		n.servers = append(n.servers, func(ctx context.Context) error { return api.ServeMetrics(ctx, l) })
	}
	return nil
}

// checkTLS wants all three files or none.
func (n *node) checkTLS() error {
	files := []string{n.cfg.TLSCert, n.cfg.TLSKey, n.cfg.TLSClientCA}
	given := strings.Join(files, "") != ""
	if given && (slices.Contains(files, "") || n.cfg.Listen == "") {
		return errors.New("--tls-cert, --tls-key and --tls-client-ca go together, and with --listen")
	}
	return nil
}

// listen opens a loopback address, or any one for those who have a certificate.
func (n *node) listen(ctx context.Context) (l net.Listener, err error) {
	scheme := "http://"
	if n.cfg.TLSCert == "" {
		l, err = statusapi.ListenTCP(ctx, n.cfg.Listen)
	} else {
		scheme = "https://"
		files := statusapi.TLSFiles{Cert: n.cfg.TLSCert, Key: n.cfg.TLSKey, ClientCA: n.cfg.TLSClientCA}
		l, err = statusapi.ListenTLS(ctx, n.cfg.Listen, files, n.tellTLS)
	}
	if err == nil {
		n.log.Info().Str("address", scheme+l.Addr().String()).Msg("serving status")
	}
	return l, err
}

func (n *node) tellTLS(err error) {
	if err == nil {
		n.log.Info().Msg("the TLS files can be used again")
		return
	}
	n.log.Warn().Str("error", err.Error()).Msg("changed TLS files cannot be used, the last good ones stay in force")
}

// tokenCode turns an error of opening the token into its exit code.
func tokenCode(err error) error {
	if errors.Is(err, statusapi.ErrToken) {
		return withCode(exitConfig, err)
	}
	return withCreateCode(err)
}

func listenCode(flag string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return withCode(exitTryAgain, fmt.Errorf("%w (another address: --%s)", err, flag))
	}
	if errors.Is(err, statusapi.ErrNotLoopback) {
		err = fmt.Errorf("%w, or ask for certificates with --tls-cert, --tls-key and --tls-client-ca", err)
	}
	return withCode(exitConfig, fmt.Errorf("--%s: %w", flag, err))
}

// Package statusapi serves what a worker knows over HTTP, and lets an operator and
// the node itself steer it: status, the unsettled list, explanations, events,
// commands, liveness, readiness, metrics and the page (DESIGN 9). openapi.yaml
// describes all of it, field by field, and is served too.
//
//	GET  /                      the page (package page); as text, a pointer to the rest
//	GET  /openapi.yaml          everything that can be asked and changed
//	GET  /api/v1/status         a Document
//	GET  /api/v1/events         the Document as server-sent events, at every change
//	GET  /api/v1/unsettled      an UnsettledPage; ?limit= (1 to 10,000) and ?after= (a blob id)
//	GET  /api/v1/shards         how far each owned shard is
//	GET  /api/v1/history        how the runs began
//	GET  /api/v1/blobs/{id}     a BlobView
//	POST /api/v1/blobs/{id}/sync  ask for one blob and wait; ?timeout= (at most 10m)
//	POST /api/v1/pause, resume, retry, repair, limits, log-level
//	GET  /metrics               Prometheus text: names, numbers and fixed words only
//	GET  /livez                 200 while the worker's loop turns, else 503
//	GET  /readyz                200 once the checkpoint is open and ownership is known, else 503
//	GET  /debug/pprof/{name}    profiles, only with Config.Pprof
//
// Everything but metrics, profiles, events and / is JSON. An error is {"error":
// "..."} with a status from 400 on. What does not get as far as a request (a header
// over 16 KiB, a request without Host) is answered by net/http in text.
//
// # Who may ask
//
// There are four doors. The unix socket in the state directory answers the same
// user and root, whatever they ask. A loopback address answers whoever can connect
// to it, and ListenTLS, on any address, whoever has a certificate; there a POST also
// shows the token, which is a file in the state directory (OpenToken). Any address
// may be given to ServeMetrics, which knows only /metrics, /livez and /readyz,
// without ids and without names of peers.
//
// A browser on the same machine can connect to loopback too, on behalf of any
// page it shows. Therefore each request, GET included, must name a Host that is
// ours: http.CrossOriginProtection alone lets a page through whose name was
// rebound to 127.0.0.1.
//
// # Limits
//
// A header has 5 s and 16 KiB, a body 10 s and 64 KiB, an answer 30 s; each listener
// has 128 connections, of which all together 32 may watch events and 64 wait for a
// blob. The socket has connections of its own, which nobody on the network can
// take. The table of what is refused, and with what, is TestForbiddenRequests.
//
// # Mounting it elsewhere
//
//	server, err := statusapi.New(statusapi.Config{Version: "1.0", Worker: w, Control: w, Inspector: w, Limiter: w,
//		Token: statusapi.NewToken(secret), AllowedHosts: []string{"node1:8080"}})
//	mux.Handle("/", server.Handler())
//
// The listeners are separate from serving, so that an address in use is known
// before the worker starts:
//
//	listener, err := statusapi.ListenUnix(ctx, statusapi.SocketPath(stateDir))
//	group.Go(func() error { return server.Serve(ctx, listener) })
package statusapi

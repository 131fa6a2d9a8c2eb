// Package statusapi serves what a worker knows over HTTP: status, the unsettled
// list, liveness, readiness and metrics (DESIGN 9). It only reads; nothing that
// can be asked here changes anything.
//
//	GET /                  a pointer to the rest, as text
//	GET /api/v1/status     a Document
//	GET /api/v1/unsettled  an UnsettledPage; ?limit= (1 to 10,000) and ?after= (a blob id)
//	GET /metrics           Prometheus text: names, numbers and fixed words only
//	GET /livez             200 while the worker's loop turns, else 503
//	GET /readyz            200 once the checkpoint is open and ownership is known, else 503
//
// Everything but metrics and / is JSON. An error is {"error": "..."} with status
// 400, 403, 404, 405, 421, 500 or 503. What does not get as far as a request (a
// header over 16 KiB, a request without Host) is answered by net/http in text.
//
// # Who may ask
//
// There are three doors. The unix socket in the state directory answers the same
// user and root. A loopback address answers whoever can connect to it. Any
// address may be given to ServeMetrics, which knows only /metrics, /livez and
// /readyz, without ids and without names of peers.
//
// A browser on the same machine can connect to loopback too, on behalf of any
// page it shows. Therefore each request, GET included, must name a Host that is
// ours: http.CrossOriginProtection alone lets a page through whose name was
// rebound to 127.0.0.1.
//
// # Mounting it elsewhere
//
//	server, err := statusapi.New(statusapi.Config{Version: "1.0", Worker: w, AllowedHosts: []string{"node1:8080"}})
//	mux.Handle("/", server.Handler())
//
// The listeners are separate from serving, so that an address in use is known
// before the worker starts:
//
//	listener, err := statusapi.ListenUnix(ctx, statusapi.SocketPath(stateDir))
//	group.Go(func() error { return server.Serve(ctx, listener) })
package statusapi

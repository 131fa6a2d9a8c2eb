// Package httppeer gets pieces over HTTP/1.1 from any server that has them
// under a URL template.
//
// The server is not trusted: no redirect is followed, no cookie kept, no proxy
// taken from the environment, nothing inflated, and headers are bounded (hazards
// 70 and 71). What its answers mean:
//
//	200                    the piece, or so it says: the bytes are verified elsewhere
//	206 to a resumed one   the rest of it, if the range is the one asked for
//	404, 410               absent
//	429, 503               peer_failed; it rests for its Retry-After
//	any other status       peer_failed; 3xx is a refused redirect
//	refused, no such host,
//	timed out unanswered   unreachable
//	anything else          peer_failed
package httppeer

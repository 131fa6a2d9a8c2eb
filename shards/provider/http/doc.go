// Package httpprovider reads ownership from a URL and follows its changes, so that
// a node in any language can be the host: it answers GET with the document of
// provider.ParseDocument (../ownership.schema.json), 200 and nothing else, or 304
// to an If-None-Match that still holds.
//
// The server is asked again and again. It is not trusted further than its
// document: no redirect is followed (the token would go along), no proxy of the
// environment is asked, nothing is inflated, and header, body and time are bounded.
//
// What cannot be read, or makes no sense, is told once and leaves the ownership
// before it in force.
package httpprovider

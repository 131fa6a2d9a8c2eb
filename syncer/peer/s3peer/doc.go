// Package s3peer makes a peer of a bucket.
//
// To an HTTP peer a bucket is one more web server: an object is asked for with GET, in
// parts with Range, and has an entity tag. So the HTTP peer does the asking, with all
// its limits, and this package is what S3 adds. Location turns s3://bucket/key into the
// template of the requests; Signer stands between the peer and its connections, signs
// each request, and says what S3's own answers mean:
//
//	404 NoSuchKey, or without a code   absent
//	404 with another code              peer_failed: NoSuchBucket is no word about a blob
//	412 to a resumed one               the object is another one by now: asked for whole
//	301, 307 and the like              peer_failed; the region that it names is shown
//	503, 429                           as of any server: it rests
//	any other with a code              peer_failed, with the code
//
// Of minio-go only the parts that stand alone are used: signatures, credentials and
// names. Its client would try again by itself, ask for the bucket's region and go where
// the answer says, and keep cookies; here the pool decides about another try, and
// nothing that a server says changes where a request goes (hazard 71). What an object
// is worth is its digest, which others check: an entity tag only says whether a
// transfer may go on.
package s3peer

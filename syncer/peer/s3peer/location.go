package s3peer

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/recoverd/recoverd/syncer/peer"
)

// Scheme begins the text of a Location.
const Scheme = "s3://"

// Location is a bucket, and how the objects in it are named. Its text is
//
//	s3://BUCKET/KEY?endpoint=URL&region=NAME&style=path&keys=FILE&profile=NAME
//
// KEY holds the placeholders of peer.Template; other characters may be escaped as in a
// URL. The rest may be left out:
//
//	endpoint  http or https, a host and a port; default: AWS, in the region
//	region    default: that of an endpoint of AWS, else us-east-1
//	style     path, or virtual (the bucket is part of the host); default: virtual for
//	          AWS unless there is a dot in the bucket, else path
//	keys      chain (the environment, the shared files, the role of the machine or
//	          the pod), none (not signed), or the path of a shared credentials file;
//	          default: chain
//	profile   in the shared files; default: AWS_PROFILE, else "default"
//
// No secret belongs into it.
type Location struct {
	name     string
	region   string
	keys     string
	profile  string
	template peer.Template
}

// The words of keys; anything else is a path.
const (
	keysChain = "chain"
	keysNone  = "none"
)

// Parse reads a location. Errors wrap peer.ErrTemplate and show no secret.
func Parse(text string) (Location, error) {
	l, err := parse(text)
	if err != nil && !errors.Is(err, peer.ErrTemplate) {
		shown, _, _ := strings.Cut(text, "?")
		if strings.ContainsAny(shown, "@#") {
			shown = Scheme + "..."
		}
		err = fmt.Errorf("%w %.200q: %w", peer.ErrTemplate, shown, err)
	}
	return l, err
}

func parse(text string) (Location, error) {
	path, rawQuery, _ := strings.Cut(text, "?")
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, Scheme), "/")
	switch {
	case len(text) > peer.MaxTemplate:
		return Location{}, fmt.Errorf("it is %d bytes long, at most %d are allowed", len(text), peer.MaxTemplate)
	case !strings.HasPrefix(text, Scheme):
		return Location{}, errors.New("it must begin with " + Scheme)
	case strings.ContainsAny(path, "@#"):
		return Location{}, errors.New("it holds user info or a fragment: credentials come from files or the environment")
	case s3utils.CheckValidBucketName(bucket) != nil, strings.Contains(bucket, ":"):
		return Location{}, errors.New("it names no bucket that can be")
	}
	o, err := parseOptions(rawQuery)
	if err != nil {
		return Location{}, err
	}
	escaped, err := escapeKey(key)
	if err != nil {
		return Location{}, err
	}
	base := *o.endpoint
	base.Path = "/"
	if o.virtual(bucket) {
		base.Host = bucket + "." + base.Host
	} else {
		base.Path += bucket + "/"
	}
	template, err := peer.ParseTemplate(base.String() + escaped)
	if err != nil {
		return Location{}, err
	}
	l := Location{name: path, region: o.region, keys: o.keys, profile: o.profile, template: template}
	if o.named {
		l.name += "?endpoint=" + o.endpoint.String()
	}
	return l, nil
}

// Name is the location without what is said about keys.
func (l Location) Name() string { return l.name }

// Template makes the URLs of the requests.
func (l Location) Template() peer.Template { return l.template }

// options is what the query of a location says.
type options struct {
	endpoint      *url.URL
	named         bool // the endpoint was given
	region, style string
	keys, profile string
}

func parseOptions(rawQuery string) (o options, err error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return o, errors.New("what follows the ? cannot be read")
	}
	o.keys = keysChain
	for name, values := range query {
		field := map[string]*string{"region": &o.region, "style": &o.style, "keys": &o.keys, "profile": &o.profile}[name]
		switch {
		case len(values) != 1 || values[0] == "":
			return o, fmt.Errorf("%.40q wants one value", name)
		case name == "endpoint":
			o.named = true
			if o.endpoint, err = parseEndpoint(values[0]); err != nil {
				return o, err
			}
		case field == nil:
			return o, fmt.Errorf("it has %.40q, want endpoint, region, style, keys or profile", name)
		default:
			*field = values[0]
		}
	}
	if o.style != "" && o.style != "path" && o.style != "virtual" {
		return o, errors.New("its style is neither path nor virtual")
	}
	return o, o.complete()
}

// complete finds the region by the endpoint, or the endpoint by the region.
func (o *options) complete() error {
	if o.region == "" && o.named {
		o.region = s3utils.GetRegionFromURL(*o.endpoint)
	}
	if o.region == "" {
		o.region = "us-east-1"
	}
	if !regexp.MustCompile(`^[a-z0-9-]{1,40}$`).MatchString(o.region) {
		return errors.New("its region is no name of one")
	}
	if o.named {
		return nil
	}
	host := "s3." + o.region + ".amazonaws.com"
	if strings.HasPrefix(o.region, "cn-") {
		host += ".cn"
	}
	o.endpoint = &url.URL{Scheme: "https", Host: host}
	return nil
}

// virtual reports whether the bucket is part of the host. A certificate of *.host does
// not hold for a bucket with a dot.
func (o *options) virtual(bucket string) bool {
	if o.style != "" {
		return o.style == "virtual"
	}
	return s3utils.IsAmazonEndpoint(*o.endpoint) && !strings.Contains(bucket, ".")
}

func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("its endpoint is not an http or https URL with a host")
	case u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("its endpoint holds more than a host and a port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// escapeKey writes the key as requests and their signatures want it, and leaves the
// placeholders.
func escapeKey(key string) (string, error) {
	var escaped strings.Builder
	for key != "" {
		at := regexp.MustCompile(`\{[^{}]*\}`).FindStringIndex(key)
		if at == nil {
			at = []int{len(key), len(key)}
		}
		literal, err := url.PathUnescape(key[:at[0]])
		if err != nil || !utf8.ValidString(literal) {
			return "", errors.New("its key has a broken escape")
		}
		if strings.ContainsAny(key[:at[0]], "{}") {
			return "", errors.New("its braces do not match")
		}
		escaped.WriteString(s3utils.EncodePath(literal))
		escaped.WriteString(key[at[0]:at[1]])
		key = key[at[1]:]
	}
	for _, segment := range strings.Split(escaped.String(), "/") {
		if segment == "." || segment == ".." {
			return "", errors.New("its key has a part that is . or .., which not every server takes")
		}
	}
	return escaped.String(), nil
}

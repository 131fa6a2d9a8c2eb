#!/bin/sh
# Makes a release in the directory OUT: for each of ARCHES an archive and a Debian
# package, and SHA256SUMS. Run from the repository's root; NFPM names the program.
#
# The same commit and the same Go give the same bytes, wherever and whenever: all
# times are the commit's.
set -eu
umask 022
export LC_ALL=C TZ=UTC CGO_ENABLED=0
: "${OUT:?}" "${NFPM:?}" "${ARCHES:=amd64 arm64}"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
if tag=$(git describe --tags --match 'v[0-9]*' --exact-match 2>/dev/null); then
	VERSION=${tag#v}
else
	VERSION=0.0.0-$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).g$(git rev-parse --short=12 HEAD)
fi
if [ -n "$(git status --porcelain)" ]; then VERSION=$VERSION.dirty; fi
export SOURCE_DATE_EPOCH VERSION

here=cmd/recoverd/deploy
rm -rf "$OUT"
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

go test ./cmd/recoverd -run '^TestManPagesAndCompletions$' -count=1 -docs-out "$stage" >/dev/null
gzip -9n "$stage"/man/*.1
mkdir "$stage/doc"
cp README.md $here/OPERATIONS.md $here/prometheus/recoverd.rules.yml $here/grafana/recoverd.json "$stage/doc"
go test ./cmd/recoverd/deploy -run '^TestSecurityLicences$' -count=1 -licences-out "$stage/doc/LICENSES.txt" >/dev/null
cp $here/systemd/recoverd.service $here/package/recoverd.yaml $here/package/postinst $here/package/prerm "$stage"
chmod -R u=rwX,go=rX "$stage"

for ARCH in $ARCHES; do
	export ARCH
	GOOS=linux GOARCH=$ARCH go build -trimpath -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$stage/recoverd" ./cmd/recoverd
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --transform "s,^\.,recoverd-$VERSION," \
		-C "$stage" --exclude ./postinst --exclude ./prerm -cf - . | gzip -9n >"$OUT/recoverd-$VERSION-linux-$ARCH.tar.gz"
	find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	(cd "$stage" && "$NFPM" package --packager deb --config "$OLDPWD/$here/package/nfpm.yaml" --target "$OUT/" >/dev/null)
done
cd "$OUT"
sha256sum ./* >"$stage/SHA256SUMS"
sed 's,\./,,' "$stage/SHA256SUMS" >SHA256SUMS

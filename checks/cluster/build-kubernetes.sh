#!/bin/bash
# Builds Kubernetes 1.20.2 from Debian's source package into $WEIR_CACHE/kubernetes, with Debian's Go:
# the newest one whose servers Debian has as source. Newer packages there hold kubectl only.
#
#   checks/cluster/build-kubernetes.sh        does nothing where it is built; ten minutes of two cores
#
# bridge.py adds what Weir needs of newer ones. Packages are unpacked, not installed: they would start
# their servers on this machine.
. "$(dirname "$0")/../../scripts/env.sh"

here=$PWD/checks/cluster
out=$WEIR_CACHE/kubernetes/1.20.2
packages=$WEIR_CACHE/kubernetes/packages
archive=kubernetes_1.20.5+really1.20.2.orig.tar.gz
sha256=b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc
parts=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
# What was built from what: another bridge is another build.
stamp=$(cat "$here"/bridge.py "$here"/surge.go "$here"/build-kubernetes.sh | sha256sum | cut -d' ' -f1)

unpack() {
    local package file folder
    for package in "$@"; do
        [ ! -d "$packages/$package" ] || continue
        step "unpacking Debian's $package into $packages"
        folder=$(mktemp -d)
        (cd "$folder" && apt-get download -qq -o APT::Sandbox::User=root "$package")
        mkdir -p "$packages/$package.new"
        for file in "$folder"/*.deb; do dpkg -x "$file" "$packages/$package.new"; done
        mv "$packages/$package.new" "$packages/$package"
        rm -r "$folder"
    done
}

unpack etcd-server containerd runc conntrack
[ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

# Its own reflect2 is too old for this Go: iterating over a map faults (fixed in 1.0.2).
unpack golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev
work=$(mktemp -d "${TMPDIR:-/var/tmp}/weir-kubernetes-XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
if ! echo "$sha256  $WEIR_CACHE/kubernetes/$archive" | sha256sum --check --status 2>/dev/null; then
    step "fetching Debian's source package of Kubernetes"
    curl -fsS --retry 3 -o "$WEIR_CACHE/kubernetes/$archive" "http://deb.debian.org/debian/pool/main/k/kubernetes/$archive"
    echo "$sha256  $WEIR_CACHE/kubernetes/$archive" | sha256sum --check --status || fail "$archive is not what it was: its sha256 differs"
fi

# Go looks for its sources beside its tools.
cp -r "$packages/golang-1.19-go/usr" "$packages/golang-1.19-src/usr" "$work"
export GOROOT=$work/usr/lib/go-1.19 GOPATH=$work/go GOCACHE=$work/cache GO111MODULE=off CGO_ENABLED=0 GOMAXPROCS=2
mkdir -p "$GOPATH/src/k8s.io/kubernetes"
tar -xzf "$WEIR_CACHE/kubernetes/$archive" -C "$GOPATH/src/k8s.io/kubernetes" --strip-components 1
cd "$GOPATH/src/k8s.io/kubernetes"
python3 "$here/bridge.py" "$here/surge.go"
rm -r vendor/github.com/modern-go/reflect2
cp -rL "$packages/golang-github-modern-go-reflect2-dev/usr/share/gocode/src/github.com/modern-go/reflect2" vendor/github.com/modern-go/
go() { nice -n 10 "$GOROOT/bin/go" "$@"; }

step "describing its API (OpenAPI)"
go build -p 2 -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
folders=$(ls -d vendor/k8s.io/*/ | grep -Ev 'code-generator|sample-apiserver|gengo|kube-openapi')
# shellcheck disable=SC2086 # names of folders, one word each
grep -rl --include='*.go' '+k8s:openapi-gen=' $folders pkg cmd | grep -v _test.go | xargs -n1 dirname | sort -u |
    sed 's|^|k8s.io/kubernetes/|' | paste -sd, >"$work/described"
"$work/openapi-gen" -i "$(cat "$work/described")" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations" --output-base "$GOPATH/src" >/dev/null

step "building ${parts[*]} (once; ten minutes)"
version=
for package in component-base/version client-go/pkg/version; do
    package=k8s.io/kubernetes/vendor/k8s.io/$package
    version+=" -X $package.gitVersion=v1.20.2+weir -X $package.gitMajor=1 -X $package.gitMinor=20"
done
go build -p 2 -ldflags "-s -w$version" \
    -o "$work/bin/" "${parts[@]/#/./cmd/}"
gcc -Os -static -DVERSION=3.2 -o "$work/bin/pause" build/pause/linux/pause.c
rm -rf "$out"
mkdir -p "$out"
mv "$work/bin" "$out/bin"
echo "$stamp" >"$out/stamp"

#!/bin/bash
# Builds the container image without a Docker daemon: target/container/weir.tar, an OCI archive.
#
#   deploy/build-image.sh              weir:VERSION
#   deploy/build-image.sh NAME:TAG     under another name
#
# To a registry:  skopeo copy oci-archive:target/container/weir.tar docker://registry.example/weir:0.1.0
# To a node:      ctr --namespace k8s.io images import target/container/weir.tar
. "$(dirname "$0")/../scripts/env.sh"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
name=${1:-weir:$version}
command -v buildah >/dev/null || fail "buildah is missing: apt-get install --no-install-recommends buildah"
out=$PWD/target/container
deploy/build-root.sh "$out/root"

step "the image $name"
# A store of its own: nothing of it stays in the machine's.
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
buildah() { command buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }
rm -f "$out/weir.tar"
sed -n '/^FROM scratch/,$p' deploy/Dockerfile | sed 's|^COPY --from=build /out/ /$|COPY . /|' >"$store/Dockerfile"
# What is built of a tree that differs from its commit says so.
commit=$(git describe --always --abbrev=40 --dirty --exclude '*' 2>/dev/null || echo unknown)
seconds=$(git log -1 --format=%ct 2>/dev/null || echo 0)
label() { labels+=(--label "org.opencontainers.image.$1=$2"); }
labels=()
label version "$version"
label revision "$commit"
label created "$(date --utc --date=@"$seconds" +%FT%TZ)"
label ref.name "$name"
buildah bud --quiet --isolation chroot --file "$store/Dockerfile" "${labels[@]}" --timestamp "$seconds" --tag "$name" "$out/root" >/dev/null
buildah push --quiet "$name" "oci-archive:$out/weir.tar:$name"
echo "$out/weir.tar: $(du -h --apparent-size "$out/weir.tar" | cut -f1), unpacked $(du -sh --apparent-size "$out/root" | cut -f1)"

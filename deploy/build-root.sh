#!/bin/bash
# Builds what the image holds into a folder: the static binary, its SBOM, the licences.
#
#   deploy/build-root.sh FOLDER
. "$(dirname "$0")/../scripts/env.sh"

out=${1:?usage: deploy/build-root.sh FOLDER}
target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
*-linux-gnu) ;;
*) fail "the image is built with glibc, linked statically; this is $target (docs/decisions/0022)" ;;
esac
sbom=0.10.0

step "building weir for $target, statically"
# The target is named so that build scripts and macros, which cannot be static, are built apart.
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --quiet --locked -p weir --bin weir --profile image --target "$target"

if [ "$("$WEIR_CACHE/tools/bin/cargo-sbom" --version 2>/dev/null | awk '{print $2}')" != "$sbom" ]; then
    step "building cargo-sbom $sbom into $WEIR_CACHE/tools (once; a minute)"
    cargo install -q cargo-sbom --version "$sbom" --locked --force --root "$WEIR_CACHE/tools"
fi

rm -rf "$out"
mkdir -p "$out/sbom" "$out/licenses"
install -m 0755 "target/$target/image/weir" "$out/weir"
deploy/sbom.py "$target" >"$out/sbom/weir.cdx.json"
cp LICENSE "$out/licenses/LICENSE"
cp ebpf/LICENSE "$out/licenses/LICENSE-ebpf"
cp deploy/NOTICE "$out/licenses/NOTICE"
# The same files give the same image.
find "$out" -exec touch --no-dereference --date=@"${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}" {} +

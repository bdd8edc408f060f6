#!/bin/bash
# Cargo runs every test through this (.cargo/config.toml). Without root it leaves out the tests that
# their package says need root, and names them. In the package's Cargo.toml, with what of a target
# needs none:
#
#   [package.metadata.weir.root-tests]
#   e2e = ["simulate::"]
#   netns = []
#
# With LEAVE_OUT_ROOT_TESTS they are left out as root too (make check), with REQUIRE_ROOT_TESTS and in
# CI never: there they fail for want of root.
if [ -n "${REQUIRE_ROOT_TESTS:-}${CI:-}" ] || { [ "$(id -u)" = 0 ] && [ -z "${LEAVE_OUT_ROOT_TESTS:-}" ]; }; then
    exec "$@"
fi
target=${1##*/} && target=${target%-*}
listed=$(sed -n "/^\[package.metadata.weir.root-tests\]/,/^$/s/^$target = //p" "${CARGO_MANIFEST_DIR:-.}/Cargo.toml" 2>/dev/null)
[ -n "$listed" ] || exec "$@"
read -ra rest <<<"${listed//[][\",]/ }"
printf 'left out: %s needs root%s\n' "$target" "${rest[*]:+, but for ${rest[*]}}"
[ ${#rest[@]} = 0 ] || exec "$@" "${rest[@]}"

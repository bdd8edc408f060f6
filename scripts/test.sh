#!/bin/bash
# Everything that CI runs: lints, then every test, and at the end what the tests' runner says.
. "$(dirname "$0")/env.sh"

need_lab "make test"
# A test that cannot do its work for want of a privilege fails.
export REQUIRE_ROOT_TESTS=1

scripts/lint.sh

step "building the tests"
cargo build --quiet --locked --workspace --all-targets

step "the commands of the documentation"
scripts/check-docs.sh

step "half a minute of traffic through the proxy"
WEIR_BUILD=debug bench/soak.py 30 testsoak

step "the tests: unit, property, kernel, proxy, end to end"
cargo test --locked --workspace

#!/bin/bash
# What a change is tried with before anything else: lints, and every test that needs no root.
. "$(dirname "$0")/env.sh"

scripts/lint.sh

step "the tests that need no root"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
LEAVE_OUT_ROOT_TESTS=1 cargo test --locked --workspace 2>&1 | tee "$log"
step "left out, for want of root (make test runs them): $(sed -n 's/^left out: \([^ ]*\) .*/\1/p' "$log" | paste -sd ' ')"

#!/bin/bash
# The page of `weir ui` in a real Chromium: beside a lab with the workshop's traffic, and with 200
# workloads.
#
#   checks/ui.sh                      checks, and says what it measured
#   checks/ui.sh --pictures docs/ui   and makes the pictures of docs/ui.md anew
. "$(dirname "$0")/../scripts/env.sh"

need_lab "the check of the page"
[ -x target/debug/weir ] || fail "target/debug/weir is missing: cargo build -p weir"
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || fail "Chromium is missing: scripts/setup.sh test installs it, or set CHROMIUM"
[ -d ui/web/node_modules/playwright-core ] || fail "the page's packages are missing: run scripts/setup.sh"
# A check that hangs must not hang CI.
exec timeout 300 node ui/web/e2e/main.mjs "$@"

#!/bin/bash
# Builds the page of `weir ui` into ui/web/dist, which cargo puts into the binary. Does nothing where
# the page's sources are those that it was built from.
. "$(dirname "$0")/env.sh"

cd ui/web
built=dist/index.html
stamp=node_modules/.weir-built
sources=$(find index.html package-lock.json vite.config.ts tsconfig.json src public -type f -print0 |
    sort -z | xargs -0 sha256sum | sha256sum)
[ ! -f "$built" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$sources" ] || exit 0

node_is_new || fail "the page of weir ui is built with Node 20.19 or newer and npm: scripts/setup.sh installs them"

step "building the page of weir ui"
# Shows what was said only where it failed.
quietly() {
    local said
    said=$("$@" 2>&1) || fail "$* failed:
$said"
}
# What is installed is as the lock file says, or is installed again. Not by `npm ci`: it wants the
# packages of all platforms in the lock file, also those that a registry does not have.
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    quietly npm install --no-save --ignore-scripts --no-audit --no-fund
quietly npm run --silent build
printf '%s\n' "$sources" >"$stamp"

#!/bin/bash
# Runs the commands of the README and of docs/ that are marked as runnable (```sh runnable), each
# page in a shell of its own, in order, with `weir` in PATH. A page's last lab is always taken down.
# What a page says behind them that they print, each line of it must be in what they printed.
. "$(dirname "$0")/../scripts/env.sh"

need_lab "checking the documentation's commands"
[ -x target/debug/weir ] || fail "target/debug/weir is missing: cargo build -p weir"
export PATH=$PWD/target/debug:$PATH
script=$(mktemp)
trap 'rm -f "$script"; weir lab down --lab docs >/dev/null 2>&1 || true' EXIT

weir lab down --lab docs >/dev/null # what a killed run has left
for page in README.md $(find docs bench -name '*.md' | sort); do
    awk '/^```sh runnable$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$page" >"$script"
    [ -s "$script" ] || continue
    step "$page"
    if ! timeout 120 bash -euo pipefail "$script" >"$script.out" 2>&1; then
        cat "$script.out" >&2
        rm -f "$script.out"
        fail "$page: its commands do not work as written"
    fi
    awk '/^```sh/ { ran = /runnable/ } /^```$/ { if (shows) { shows = inside = !inside; next } }
        ran && /prints:$/ { shows = 1 } inside' "$page" | while read -r line; do
        grep -qF -- "$line" "$script.out" || {
            cat "$script.out" >&2
            fail "$page: nothing printed this: $line"
        }
    done
    rm -f "$script.out"
    weir lab down --lab docs >/dev/null
done

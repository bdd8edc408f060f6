#!/bin/bash
# Runs every fuzz target for a bounded time: first over what is kept in fuzz/corpus, then on inputs
# of its own. Says nothing of a target that finds nothing.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     10 seconds each, all of them
. "$(dirname "$0")/env.sh"

seconds=${1:-10}
shift || true
case $seconds in '' | *[!0-9]*) fail "usage: scripts/fuzz.sh [SECONDS [TARGET...]]" ;; esac
targets=("$@")
[ ${#targets[@]} -gt 0 ] || for file in fuzz/fuzz_targets/*.rs; do
    file=${file##*/} && targets+=("${file%.rs}")
done

# What `cargo fuzz --sanitizer none` builds with: stable flags, so that stable Rust will do. With
# --target they reach the code and its dependencies, not the build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml \
    --target "$host" --target-dir target/fuzz "${targets[@]/#/--bin=}"

# What a run discovers stays in target/, for the next; a finding goes where it is kept.
run() {
    local target=$1 seeds=fuzz/corpus/$1 found=target/fuzz/corpus/$1 log=target/fuzz/$1.log
    mkdir -p "$seeds" "$found"
    if ! "target/fuzz/$host/release/$target" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -report_slow_units=10 -print_final_stats=1 \
        -artifact_prefix="$seeds/" "$found" "$seeds" >"$log" 2>&1; then
        printf '%s: see %s\n' "$target" "$log" >&2
        grep -E 'panicked at|^assertion|^ *(left|right): |ERROR: libFuzzer|^Test unit|written to' -A1 "$log" | head -n 20 >&2
        return 1
    fi
}
export -f run
export host seconds
printf '%s\n' "${targets[@]}" | xargs -n 1 -P "$(nproc)" bash -euc 'run "$1"' _ ||
    fail "a finding: commit its input in fuzz/corpus with the fix (docs/fuzzing.md)"

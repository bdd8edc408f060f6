#!/bin/bash
# What no compiler says about the tree: files nobody compiles, files too long to read, tests that
# never run, crates outside the common lints.
. "$(dirname "$0")/../scripts/env.sh"

longest=500
bad=0
wrong() {
    printf '%s\n' "$*" >&2
    bad=1
}

files() {
    git ls-files --cached --others --exclude-standard -- "$@" 2>/dev/null |
        while read -r file; do [ ! -e "$file" ] || printf '%s\n' "$file"; done
}

# The files that may declare `mod NAME;` for a file.
parents() {
    local folder=${1%/*} file=$1
    [ "${file##*/}" != mod.rs ] || { file=$folder && folder=${folder%/*}; }
    case $folder in
    */src) printf '%s\n' "$folder/lib.rs" "$folder/main.rs" ;;
    */src/*) printf '%s\n' "$folder.rs" "$folder/mod.rs" ;;
    */tests | */examples | */benches) printf '%s\n' "$folder"/*.rs ;;
    *) printf '%s\n' "$folder.rs" "$folder/mod.rs" "$folder/main.rs" ;;
    esac
}

# Compiled: a root of cargo's, or declared as a module, or named by a #[path].
is_compiled() {
    local file=$1 name parent
    case $file in
    */src/lib.rs | */src/main.rs | */src/bin/*.rs | */build.rs) return 0 ;;
    */tests/*/main.rs) return 0 ;;
    fuzz/fuzz_targets/*) # cargo finds none there that is not named
        grep -q "^path = \"${file#fuzz/}\"" fuzz/Cargo.toml
        return
        ;;
    */tests/*/* | */examples/*/* | */benches/*/*) ;;
    */src/*) ;;
    */tests/*.rs | */examples/*.rs | */benches/*.rs) return 0 ;;
    esac
    name=${file##*/} && name=${name%.rs}
    [ "$name" != mod ] || { name=${file%/mod.rs} && name=${name##*/}; }
    for parent in $(parents "$file"); do
        [ ! -e "$parent" ] || [ "$parent" = "$file" ] ||
            ! grep -qE "^[[:space:]]*(pub(\([a-z ]+\))? )?mod $name;" "$parent" || return 0
    done
    files '*.rs' | xargs grep -qE "#\[path = \"([^\"]*/)?${file##*/}\"\]"
}

# Lines that are neither blank nor comment, up to the tests at the end of the file.
code_lines() {
    awk '/^#\[cfg\(test\)\]/ { exit } !/^[[:space:]]*(\/\/.*)?$/ { n++ } END { print n + 0 }' "$1"
}

sources=$(files '*.rs')
[ -n "$sources" ] || fail "no sources found: is this a git checkout?"
for file in $sources; do
    is_compiled "$file" || wrong "$file: no \`mod\` names it, so nobody compiles it"
    case $file in */tests.rs | */tests/*) continue ;; esac
    head -n 1 "$file" | grep -q '^//!' || wrong "$file: its first line does not say what it is for (//!)"
    lines=$(code_lines "$file")
    [ "$lines" -le "$longest" ] || wrong "$file: $lines lines of code, more than $longest"
done

for file in $(files '*Cargo.toml'); do
    case $file in
    # The kernel programs and what they share are a workspace of their own.
    Cargo.toml | ebpf/Cargo.toml | ebpf/abi/Cargo.toml) continue ;;
    esac
    grep -A1 '^\[lints\]' "$file" | grep -q '^workspace = true' ||
        wrong "$file: the workspace's lints are not switched on"
done

unfinished=$(grep -nE '\b(todo|unimplemented)!|#\[ignore' $sources || true)
[ -z "$unfinished" ] || wrong "$unfinished
unfinished code, or a test that does not run"

exit $bad

#!/bin/bash
# Everything that reads the code without running it. A warning is an error.
. "$(dirname "$0")/env.sh"

step "the house: orphans, long files, arrows, logic in its place"
(cd checks/house && python3 -B -m unittest --quiet)
checks/house/check.py

step "formatting"
cargo fmt --all --check
(cd ebpf && cargo fmt --check)
cargo fmt --manifest-path fuzz/Cargo.toml --check

step "the Python: mistakes and types"
root=$PWD python=$WEIR_CACHE/tools/python
"$python/bin/ruff" check --quiet
# Each folder's scripts are modules of their own, as they are run; image/ is a package.
for folder in $(git ls-files '*.py' | xargs dirname | sort -u); do
    package=
    [ "$folder" != checks/image ] || { folder=checks package=image/; }
    (
        cd "$folder"
        MYPYPATH=$root/checks PYTHONPATH=$python python3 -m mypy --no-error-summary \
            --config-file "$root/pyproject.toml" --cache-dir "$root/target/mypy" $package*.py
    )
done

step "the page: types, lints, formatting"
npm --prefix ui/web run --silent check

# Advisories are left out: their database is fetched from a place that a build machine may not reach.
step "what we stand on: licences, versions, sources"
deny() { "$WEIR_CACHE/tools/bin/cargo-deny" --locked --config deny.toml --log-level "$@" 2>&1; }
deny warn check -D warnings licenses bans sources
deny error --manifest-path ebpf/Cargo.toml check licenses bans sources
deny error --manifest-path fuzz/Cargo.toml check sources # not given to anybody

step "clippy"
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

step "clippy on the fuzz targets"
cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target -- -D warnings

# Rustup has no core for the BPF target, so the kernel programs are read as if for this machine.
step "clippy on the kernel programs"
(cd ebpf && RUSTC_BOOTSTRAP=aya_ebpf,weir_ebpf \
    RUSTFLAGS="-Dwarnings --cfg=bpf_target_arch=\"$(uname -m)\" -Cpanic=abort" \
    cargo clippy --quiet --locked --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir ../target/ebpf-clippy)

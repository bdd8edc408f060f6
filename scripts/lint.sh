#!/bin/bash
# Everything that reads the code without running it. A warning is an error.
. "$(dirname "$0")/env.sh"

step "the tree: orphans, long files, unfinished code"
checks/tree.sh

step "formatting"
cargo fmt --all --check
(cd ebpf && cargo fmt --check)
cargo fmt --manifest-path fuzz/Cargo.toml --check

step "the page: types, lints, formatting"
npm --prefix ui/web run --silent check

step "clippy"
cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

step "clippy on the fuzz targets"
cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target -- -D warnings

# Rustup has no core for the BPF target, so the kernel programs are read as if for this machine.
step "clippy on the kernel programs"
(cd ebpf && RUSTC_BOOTSTRAP=aya_ebpf,weir_ebpf \
    RUSTFLAGS="-Dwarnings --cfg=bpf_target_arch=\"$(uname -m)\" -Cpanic=abort" \
    cargo clippy --quiet --locked --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir ../target/ebpf-clippy)

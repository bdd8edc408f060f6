#!/bin/bash
# Everything that CI runs: lints, then every test, and at the end what the tests' runner says.
. "$(dirname "$0")/env.sh"

need_lab "make test"
# A test that cannot do its work for want of a privilege fails.
export REQUIRE_ROOT_TESTS=1
# The whole is to take less than fifty minutes of two cores: each stage says when it began.
SECONDS=0
step() { printf '\033[1m==>\033[0m %s  (%d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

scripts/lint.sh

# The labs of the documentation and of the soak have fixed names: one at a time on a machine.
alone() { flock --close /run/lock/weir-test "$@"; }

step "building the tests"
cargo build --quiet --locked --workspace --all-targets

# The image is built beside checks that mostly wait, behind everything else. Optimised for size and
# linked without optimisation: eleven minutes of one core, the same program.
step "building the image in the background"
mkdir -p target
CARGO_PROFILE_IMAGE_LTO=off CARGO_PROFILE_IMAGE_OPT_LEVEL=s \
    timeout 2400 nice -n 19 deploy/build-image.sh >target/image.log 2>&1 &
image=$!
trap 'kill "$image" 2>/dev/null || true' EXIT

step "the commands of the documentation"
alone checks/docs.sh

step "the observer, asked by a client of another make, and scraped by Prometheus"
alone checks/observer.py

step "what deploy/ puts into a cluster, against the Kubernetes OpenAPI schemas"
timeout 300 checks/deploy.py

step "what others' tools take from this tree: action, hooks, Argo CD's health checks"
timeout 300 checks/field.py

step "the page's logic"
npm --prefix ui/web run --silent test

step "dashboards, rules and deploy/monitoring, read"
checks/monitoring.py

step "dashboards and rules, held against what clients counted"
alone checks/dashboards.py

step "the page in a real browser, beside a lab and with 200 workloads"
alone checks/ui.sh

step "ten seconds of fuzzing for each parser"
scripts/fuzz.sh

step "half a minute of traffic through the proxy"
WEIR_BUILD=debug alone bench/soak.py 30 testsoak

step "the image, run as the DaemonSet says"
wait "$image" || { cat target/image.log >&2 && fail "the image could not be built"; }
trap - EXIT
alone timeout 600 checks/image/check.py --no-build

step "the tests: unit, property, kernel, proxy, end to end"
cargo test --locked --workspace

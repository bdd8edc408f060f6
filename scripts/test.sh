#!/bin/bash
# Everything that CI runs: lints, then every test, and at the end what the tests' runner says.
. "$(dirname "$0")/env.sh"

need_lab "make test"
# A test that cannot do its work for want of a privilege fails.
export REQUIRE_ROOT_TESTS=1

scripts/lint.sh

# The labs of the documentation and of the soak have fixed names: one at a time on a machine.
alone() { flock --close /run/lock/weir-test "$@"; }

step "building the tests"
cargo build --quiet --locked --workspace --all-targets

step "the commands of the documentation"
alone checks/docs.sh

step "the observer, asked by a client of another make, and scraped by Prometheus"
alone checks/observer.py

step "what deploy/ puts into a cluster, against the Kubernetes OpenAPI schemas"
timeout 300 checks/deploy.py

# Optimised less than a release and linked without optimisation: half the time (six minutes of one
# core), and the same program.
step "the image, run as the DaemonSet says"
CARGO_PROFILE_IMAGE_LTO=off CARGO_PROFILE_IMAGE_OPT_LEVEL=1 timeout 2400 deploy/build-image.sh
alone timeout 600 checks/image/check.py --no-build

step "the page's logic"
npm --prefix ui/web run --silent test

step "the page in a real browser, beside a lab and with 200 workloads"
alone checks/ui.sh

step "dashboards, rules and deploy/monitoring, read"
checks/monitoring.py

step "dashboards and rules, held against what clients counted"
alone checks/dashboards.py

step "ten seconds of fuzzing for each parser"
scripts/fuzz.sh

step "half a minute of traffic through the proxy"
WEIR_BUILD=debug alone bench/soak.py 30 testsoak

step "the tests: unit, property, kernel, proxy, end to end"
cargo test --locked --workspace

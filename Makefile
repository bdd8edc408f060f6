# Each target installs what this machine lacks (scripts/setup.sh), so that it works on a fresh one.
.DEFAULT_GOAL := help
.PHONY: help setup build check test lint fmt demo cluster bench scale fuzz soak clean

# Rustup's Rust before Debian's, which is for the kernel programs only.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: ## Install the packages and the BPF linker that are missing
	@scripts/setup.sh

build: setup ## Build weir into target/release
	@cargo build --release --locked -p weir

check: ## Lints, and the tests that need no root: three minutes
	@scripts/setup.sh lint
	@scripts/check.sh

test: ## Run everything that CI runs; needs root
	@scripts/setup.sh test
	@scripts/test.sh

lint: ## Read the code: house, format, clippy, Python, licences
	@scripts/setup.sh lint
	@scripts/lint.sh

fmt: ## Format the code
	@cargo fmt --all && cargo fmt --manifest-path fuzz/Cargo.toml && cd ebpf && cargo fmt
	@bash -c '. scripts/env.sh && npm --prefix ui/web run --silent fmt'

demo: ## Watch a policy workshop happen on this machine; needs root
	@scripts/setup.sh demo
	@cargo build --locked -p weir
	@target/debug/weir lab demo

cluster: ## Install Weir on a real Kubernetes of two nodes, on this machine; needs root
	@scripts/setup.sh test
	@deploy/build-image.sh
	@checks/cluster/check.py

bench: ## Measure Weir beside direct traffic; needs root
	@scripts/setup.sh bench
	@cargo build --release --locked -p weir
	@bench/run.py $(BENCH)

scale: setup ## Measure changes and verdicts with 10,000 pods; needs root
	@cargo bench --locked -p weir-redirector --bench scale

fuzz: setup ## Fuzz each parser for SECONDS (10)
	@scripts/fuzz.sh $(or $(SECONDS),10)

soak: setup ## Run traffic through the proxy for SECONDS (600) and look for stalls; needs root
	@scripts/setup.sh bench
	@cargo build --release --locked -p weir
	@bench/soak.py $(or $(SECONDS),600)

clean: ## Remove what was built; the cached BPF linker stays
	@cargo clean
	@rm -rf ebpf/target ui/web/dist

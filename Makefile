# What there is to do here. `make` alone lists it; logic beyond a line lives in scripts/ or in the programs.

# The address to inspect; without one, `make inspect` shows the demonstration.
URL ?=
# More options for `vigie inspect`, for instance ARGS="--locale fr-FR --patience thorough".
ARGS ?=
# A Chromium elsewhere than on PATH.
CHROMIUM ?=
# The folder of banner sites with verified ground truth; nothing is done with it where there is none.
CORPUS ?= $(firstword $(wildcard corpus ../corpus ../shared/corpus))
# How many cases each property is tried with by `make fuzz`.
FUZZ_CASES ?= 5000

export URL CHROMIUM

.PHONY: help setup build inspect test format lint unit services judges clients docs deny audit corpus bench fuzz clean

help: ## lists what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: ## installs a Chromium and fonts where they are missing
	@sh scripts/setup.sh

judges: ## installs the programs that check bundles independently, where they are missing
	@sh scripts/setup.sh --judges

build: setup ## builds the program: target/release/vigie
	cargo build --release --locked -p vigie

# Exit code 1 means "answered, with a finding". That is no failure of make; scripts should call the program itself.
inspect: build ## inspects URL=https://…, or shows the demonstration without one
	@if [ -n "$$URL" ]; then \
		target/release/vigie inspect "$$URL" $${CHROMIUM:+--chromium "$$CHROMIUM"} $(ARGS); \
	else \
		target/release/vigie demo $${CHROMIUM:+--chromium "$$CHROMIUM"}; \
	fi || [ $$? -eq 1 ]

# One after the other, so that the first failure is the last thing on the screen.
test: setup ## everything that continuous integration runs
	@$(MAKE) --no-print-directory format
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory deny
	@$(MAKE) --no-print-directory corpus
	@echo "make test: all passed"

format: ## the layout of the source
	cargo fmt --all --check

lint: ## clippy, where a warning is an error
	cargo clippy --workspace --all-targets --locked -- -D warnings

unit: judges services clients ## all tests but the corpus; those of crates/domain/tests keep the layers and the catalogue
	cargo test --workspace --locked

services: ## installs the servers that tests speak to, where they are missing
	@sh scripts/setup.sh --services

clients: ## installs the clients of PostgreSQL that the gateway is tried with, where they are missing
	@sh scripts/setup.sh --clients

docs: ## the documentation of the crates, where a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny: ## licences and origins of the dependencies, where cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked check bans licenses sources; \
	else \
		echo "make deny: cargo-deny is not installed, so licences and origins were not checked"; \
	fi

audit: ## known weaknesses of the dependencies; asks the network, so it is no part of make test
	cargo deny --locked check advisories

corpus: ## inspects the sites of CORPUS=DIR and compares with their ground truth
	@if [ -n "$(CORPUS)" ] && [ -d "$(CORPUS)" ]; then \
		sh scripts/setup.sh --corpus && \
		cargo test --workspace --locked --no-run --quiet && target/debug/vigie-corpus --corpus "$(CORPUS)" --jobs 2 --scenarios S0,S1,S2,S3,S4,S5; \
	else \
		echo "make corpus: no folder of corpus sites here (CORPUS=DIR names one), so they were not inspected"; \
	fi

bench: setup ## measures speed
	cargo bench --workspace --locked

fuzz: ## a smoke run: every property of parsers and measures, with many more cases
	PROPTEST_CASES=$(FUZZ_CASES) cargo test --release --locked -p vigie-banner -p vigie-trackers -p vigie-inspection -p vigie-evidence -p vigie-ledger --lib
	PROPTEST_CASES=$(FUZZ_CASES) cargo test --release --locked -p vigie-evidence --test it hostile

clean: ## removes what was built
	cargo clean

# Everything a developer types. `make` lists it.

CARGO ?= cargo
GUEST_TESTS = --manifest-path guest-examples/Cargo.toml --target-dir target/guest-build/native

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Take an inventory of this machine in two repositories that share one remote
	$(CARGO) build --locked --workspace --bins
	target/debug/demo

.PHONY: test
test: ## Run every test, with real components, processes, locks and servers
	@bash tests/servers/packages.sh || { echo "what needs etcd, PostgreSQL, other clocks or valgrind is skipped" >&2; test -z "$$CI"; }
	@bash tests/servers/venv.sh || { echo "no servers in target/servers: what needs them is skipped" >&2; test -z "$$CI"; }
	$(CARGO) test --locked --workspace
	$(CARGO) test --locked --workspace $(GUEST_TESTS)

.PHONY: guests
guests: ## Build the example extensions into target/guests/*.wasm
	bash guest-examples/build.sh

.PHONY: check-liars
check-liars: ## Show which suite of `lockkeeper check` catches which broken extension, and how fast
	$(CARGO) test --quiet --locked --workspace --test liars -- --nocapture made_for_it_table

.PHONY: check-honest
check-honest: ## Check every honest extension with twenty seeds each; takes half an hour
	$(CARGO) test --quiet --locked --workspace --test liars -- --ignored --nocapture whole_check_table

.PHONY: install
install: ## Install the lockkeeper command, optimised, into cargo's bin folder
	$(CARGO) install --locked --path host/command

.PHONY: bench
bench: ## Measure against peers, in at most 20 minutes; a table, JSON and plots in target/bench (SCENES="size start" for some)
	$(CARGO) build --quiet --locked --release -p lockkeeper -p lockkeeper-bench
	target/release/bench $(SCENES)

.PHONY: locks-hosts
locks-hosts: ## Cut the holder of a lock off from each lock store, 30 times, on hosts of their own
	LOCKKEEPER_ROUNDS=30 $(CARGO) test --locked -p lockkeeper-locks --test several_hosts cut_off -- --nocapture --test-threads=3

.PHONY: locks-history
locks-history: ## Let 8 clients on 3 hosts be killed, stopped and cut off for 10 minutes for each lock store
	LOCKKEEPER_HISTORY_SECONDS=600 $(CARGO) test --locked -p lockkeeper-locks --test several_hosts history -- --nocapture --test-threads=3

.PHONY: bench-locks
bench-locks: ## Measure what a lock costs in each store, free and with 32 who want it, beside the plainest client
	$(CARGO) test --quiet --locked -p lockkeeper-locks --test all_stores measured -- --ignored --nocapture --test-threads=1

.PHONY: lint
lint: ## Check formatting and run clippy, with warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path guest-examples/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets $(GUEST_TESTS) -- -D warnings

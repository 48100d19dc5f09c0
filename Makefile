# The ways in. Each sets up what it needs first; when all is set up that takes a moment.

BIN := .venv/bin
PLACES := device_model host_ctl guest_tests qemu_patches

.DEFAULT_GOAL := help
.PHONY: help setup qemu-patched run-guests compare linux-guests test nightly mutants bench coverage lint clean

help: ## show this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## get ready: system packages, Python environment, C extension, QEMU
	@tools/bootstrap.sh

run-guests: setup ## run the isolation suite in guests; GUESTS=8 VECTORS=1 SEED=7 STORE=table DOMAIN=vm as you like
	@$(BIN)/vdsa run $(if $(GUESTS),--guests $(GUESTS)) $(if $(VECTORS),--vectors $(VECTORS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(STORE),--store $(STORE)) $(if $(DOMAIN),--domain $(DOMAIN))

compare: setup ## all stores and domains side by side, in build/comparison; GUESTS, VECTORS, SEED, STORE, DOMAIN as above
	@$(BIN)/vdsa compare $(if $(GUESTS),--guests $(GUESTS)) $(if $(VECTORS),--vectors $(VECTORS)) $(if $(SEED),--seed $(SEED)) \
		$(addprefix --store ,$(STORE)) $(addprefix --domain ,$(DOMAIN))

qemu-patched: ## build the patched QEMU, once (about 5 minutes); then QEMU=patched uses it. QEMU_SRC=tree or tarball
	@QEMU= tools/bootstrap.sh
	@$(BIN)/python -m qemu_patches --patched

linux-guests: qemu-patched ## Linux guests with its own idxd driver beside hostile agents; KERNELS="6.1 6.12 backports" GUESTS=4; ALL=1: all stores
	@$(BIN)/python -m guest_tests.linux $(if $(GUESTS),--guests $(GUESTS)) $(addprefix --store ,$(STORE)) \
		$(addprefix --domain ,$(DOMAIN)) $(if $(ALL),--all) $(KERNELS)

test: setup ## run all tests
	$(BIN)/python -m pytest $(PLACES)

nightly: setup ## core against model, 20000 examples each with a new seed (EXAMPLES=...); takes some 20 minutes
	VDSA_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/python -m pytest device_model/tests/test_model_machines.py device_model/tests/test_model_stores.py

mutants: setup ## plant 200 defects, one at a time, in a copy: is each noticed? (about 35 minutes; ONLY=pattern)
	@$(BIN)/python tools/mutants.py $(if $(ONLY),--only $(ONLY))

bench: setup ## measure latencies, ratios and whole runs
	@$(BIN)/python -m guest_tests.bench

coverage: setup ## measure which lines and branches of the core the tests reach (floors: 90 % and 80 %)
	@$(BIN)/python tools/coverage.py

lint: setup ## check style and types
	$(BIN)/ruff check $(PLACES)
	$(BIN)/mypy $(PLACES)

clean: ## remove what was built here; the QEMU in the cache folder stays
	rm -rf build .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f device_model/*.so
	find $(PLACES) -name __pycache__ -type d -prune -exec rm -rf {} +

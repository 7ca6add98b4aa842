# Everything a developer needs; `make help` lists it. Each target sets up what it uses.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CHECKED := sdsuper tests examples $(wildcard benchmarks docs/*.py)
# A file of tests stays on one worker: what its tests share is set up once.
PYTEST := $(BIN)/pytest --dist loadfile
QUICKSTART := examples/quickstart/sdsuper.conf

.PHONY: help run test test-unit test-integration test-system bench check format docs demo-etcd clean

help: ## Show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-24s%s\n", $$1, $$2 }'

$(READY): pyproject.toml scripts/prepare
	scripts/prepare venv
	touch $@

run: $(READY) ## Run sdsuperd in the foreground on examples/quickstart
	@sed 's|CTL|$(BIN)/sdsuperctl -c $(QUICKSTART)|' examples/quickstart/hello.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/sdsuperd -n -c $(QUICKSTART)

test: $(READY) tools ## Run all tests: unit, integration, system (ARGS="-k stop" to choose)
	$(PYTEST) -n 3 $(ARGS)

test-unit: $(READY) ## Run the unit tests: seconds
	$(PYTEST) -n 2 tests/unit $(ARGS)

test-integration: $(READY) tools ## Run real daemons, real processes, real clients
	$(PYTEST) -n 3 tests/integration $(ARGS)

test-system: $(READY) tools ## Run what needs a machine of its own: PID 1, systemd, the RPM
	$(PYTEST) -n 3 tests/system $(ARGS)

bench: $(READY) ## Measure us beside our peers (ARGS="--effort full --json FILE", ARGS=--help)
	@scripts/prepare bench || echo "THE PEERS THAT ARE MISSING ARE LEFT OUT" >&2
	$(BIN)/python -m benchmarks $(ARGS)

check: $(READY) ## Lint, check the format and the types
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy --strict

format: $(READY) ## Format the code and mend what ruff can mend
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

docs: $(READY) ## Write the generated pages and completions anew
	for page in generate generate_rpc generate_states generate_differences generate_man generate_completions generate_performance; do $(BIN)/python -m docs.$$page; done

rpm: $(READY) ## Build dist/rpm: the RPM, its source, repository metadata
	scripts/prepare rpm
	scripts/rpm

demo-etcd: $(READY) ## Run a three-member etcd cluster, kill parts of it, watch it heal
	scripts/prepare etcd
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/kubernetes/demo.sh

.PHONY: tools
tools:
	@scripts/prepare tests || echo "THE TESTS THAT NEED WHAT IS MISSING ARE SKIPPED" >&2

clean: ## Remove the virtual environment and all that was generated
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sutler. `make help` lists the targets; README.md says what they are for.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
STAMP  := $(VENV)/.ready
DESCRIPTORS := .build/sutler.binpb
STUB   := libs/sutler/type/v1/permission_pb2.py
GATEWAY := .build/envoy.json
WHERE  ?= tests/unit tests/contract tests/conformance tests/integration tests/e2e

export PYTHONPATH := libs:.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup gen fmt lint type check test crash bench-chassis bench-resource bench-cache bench-erp bench-rule run stop demo clean constraints

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml deploy/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(PY) || { echo "making $(VENV) (once; a minute or two)"; $(PYTHON) -m venv $(VENV); }
	@$(PY) -m pip install --quiet --requirement deploy/constraints.txt
	@$(PY) protos/gen.py
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: gen ## Make the virtual environment with all pinned packages, and all that `gen` makes

$(DESCRIPTORS): $(STAMP) $(shell find protos -name '*.proto' -o -name gen.py)
	@$(PY) protos/gen.py
	@touch $@

$(STUB): $(DESCRIPTORS)
	@$(PY) protos/gen.py
	@touch $@

$(GATEWAY): $(DESCRIPTORS) $(STUB) $(wildcard deploy/envoy/*.py) deploy/local/layout.py libs/sutler/server.py
	@$(PY) -m deploy.envoy --output $@ --check

gen: $(GATEWAY) ## Make stubs, descriptor set and gateway configuration from protos/

fmt: gen ## Format code and contracts
	@$(BIN)/ruff check --quiet --fix --exit-zero .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write protos

lint: gen ## Check format, style, imports and contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/buf lint protos
	$(PY) protos/breaking.py

type: gen ## Check types (mypy, strict)
	$(BIN)/mypy libs/sutler services deploy

check: lint type ## Check everything that needs no test run, and run the READMEs' snippets
	$(PY) -m pytest -q tests/docs

test: gen ## Run the tests; WHERE=tests/unit runs a part
	$(PY) -m pytest -q -n 2 --dist loadgroup --reruns 1 -r fER -m "not crash and not bench" $(WHERE)

crash: gen ## Kill processes for a long time; SEED=… repeats a run
	$(PY) -m pytest -q -m crash tests

bench-chassis: gen ## Measure a service with all interceptors against a bare echo
	$(PY) -m tests.bench.chassis

bench-resource: gen ## Measure ResourceService, alone and beside a peer
	$(PY) -m tests.bench.resource

bench-cache: gen ## Measure CacheService beside redis-py and diskcache
	$(PY) -m tests.bench.cache

bench-erp: gen ## Measure ErpGateway beside zenoo-rpc and httpx
	$(PY) -m tests.bench.erp

bench-rule: gen ## Measure RuleService beside KRules
	$(PY) -m tests.bench.rule

run: gen ## Run the whole stack on this machine until Ctrl-C
	@$(PY) -m deploy.local run $(ARGS)

stop: ## Stop a stack that runs in the background
	@if test -d .sutler -a -x $(PY); then $(PY) -m deploy.local stop; else echo "nothing runs here"; fi

demo: gen ## Start the stack and take orders from the ERP to machines; KILL=1 kills parts meanwhile
	@$(PY) -m deploy.local demo $(if $(KILL),--kill) $(ARGS)

clean: ## Stop the stack, end all machines, remove state, stubs and build files; .venv stays
	@test ! -d .sutler -o ! -x $(PY) || $(PY) -m deploy.local clean
	@rm -rf .build libs/buf libs/sutler/*/v1 .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

constraints: ## Pin every package anew, from pyproject.toml
	@deploy/constraints.sh

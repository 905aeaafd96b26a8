# Two commands for a fresh clone: `make demo` shows the main job, `make test` passes the tests.
# Both need Python >= 3.11 and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := .cache/bench
# Both cores, whole files each: fixtures that start processes are shared within a file.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contracts format docs bench compiled coverage check clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than 3.11; name another: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(READY)

demo: $(READY) ## show the main job with real processes (KEEP=1 leaves it running)
	@$(BIN)/python -m examples.demo $(if $(KEEP),--keep)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

lint: $(READY) ## format, lint, spelling, dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell sidecar pki tests examples docs README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md
	$(BIN)/vulture sidecar pki --min-confidence 80

types: $(READY) ## check the types, strictly
	$(BIN)/mypy

contracts: $(READY) ## check who may import whom
	$(BIN)/lint-imports

docs: $(READY) ## write the generated references anew
	$(BIN)/python -m docs.generate

format: $(READY) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: $(READY) ## run the tests under coverage and hold the floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n $(JOBS) --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=95

# What is measured is what ships: a wheel with compiled modules, in an environment of its own.
$(BENCH)/.ready: $(READY) requirements/bench.txt setup.py $(shell find sidecar pki -name '*.py')
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	rm -rf build $(BENCH)/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps -w $(BENCH)/wheel .
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $(BENCH)/wheel/*.whl
	rm -rf build
	@touch $@

# The modules that ship compiled must do what their source does: the same tests, on the wheel.
compiled: $(BENCH)/.ready ## run the tests of the data path on the compiled wheel
	rm -rf .cache/compiled
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --target .cache/compiled $(BENCH)/wheel/*.whl
	PYTHONPATH=.cache/compiled PYTHONSAFEPATH=1 $(BIN)/python -c 'import sys, sidecar.core.exchange as e; sys.exit(e.__file__.endswith(".py"))'
	PYTHONPATH=.cache/compiled PYTHONSAFEPATH=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile \
	  -o "pythonpath=.cache/compiled ." tests/core tests/net tests/telemetry tests/e2e/test_http_messages.py

bench: $(BENCH)/.ready ## measure beside Envoy, HAProxy and nginx (those that are installed)
	$(BENCH)/bin/python -m tests.bench $(ARGS)

check: lint types contracts test ## everything that must pass

clean: ## remove what was made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info

# Everything a user needs: make run, make test. Both build .venv from the hash-pinned locks.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The decoder of messages is compiled once, here: a gateway that is killed while it compiles would
# have to begin anew.
COMPILE := $(BIN)/python -m connectors.opcua.compiled

.PHONY: help setup setup-dev run test check bench fmt clean lock

help:            ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/.runtime  ## Build .venv with what parktwin needs to run

setup-dev: .venv/.dev  ## Build .venv with the tools of the tests too

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(PIP) install --progress-bar on --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -q -e .
	$(COMPILE)
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | .venv/bin/python
	$(PIP) install --progress-bar on --require-hashes -r requirements-dev.lock
	$(PIP) install --no-deps --no-build-isolation -q -e .
	$(COMPILE)
	@touch $@ .venv/.runtime

run: setup       ## Run the demo park on http://127.0.0.1:8050
	$(BIN)/parktwin demo

test: setup-dev  ## Run all tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: setup-dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-dev ## Print the figures of every bench
	$(BIN)/parktwin bench

fmt: setup-dev   ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:           ## Remove .venv and caches (data stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

lock:            ## Recompute both lock files (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--group build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--group build --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock

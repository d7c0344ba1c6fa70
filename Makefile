# `make demo` and `make test` need Python 3.11+ and nothing else: they make their own environment.
PYTHON ?= python3
VENV := .venv
TOX := $(VENV)/bin/tox

.PHONY: help demo test lint types bench darts pybroker check clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(TOX):
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt tox

demo: $(TOX) ## the main job on real bars, both engines, a report to open
	$(TOX) run -e demo

test: $(TOX) ## all tests
	$(TOX) run -e py

lint: $(TOX) ## ruff
	$(TOX) run -e lint

types: $(TOX) ## mypy
	$(TOX) run -e types

bench: $(TOX) ## ratios, as a table (the README's, too) and benchmarks.json
	$(TOX) run -e bench

darts: ## the virtualenv of Darts, for the ratios against it
	tests/benchmarks/make_darts_env.sh .darts $(PYTHON)

pybroker: ## the virtualenv of PyBroker, for the ratios against it
	tests/benchmarks/make_pybroker_env.sh .pybroker $(PYTHON)

check: test lint types ## what a change must pass

clean: ## remove the environments and caches
	rm -rf $(VENV) .darts .pybroker .tox .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

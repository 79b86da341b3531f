# Every target is a first command on a bare machine: it needs make, bash and Python 3.11 or newer, and sets up the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
MINIMUM := .venv-minimum
BIN := $(VENV)/bin
DATA ?= ../shared/data
BUDGET ?= 20
PIP := python -m pip --disable-pip-version-check -qq

# The first interpreter that is new enough and can make an environment (a name on PATH may be neither).
FIND_PYTHON = for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python"; exit; fi; \
	done; echo "Python 3.11 or newer (with venv) is needed; set PYTHON=/path/to/python" >&2; exit 1

.PHONY: help demo test lint layers types bench compare minimum build clean

help:  ## what there is to type
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */make \1\t/' | expand -t 16

demo: $(VENV)/.core  ## fit, export, verify and serve a model, in under a minute
	$(BIN)/python examples/01_quickstart.py

test: $(VENV)/.dev  ## all tests and doctests; seconds per group are printed at the end
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(ARGS)

lint: $(VENV)/.dev layers types  ## formatting, ruff, layers and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

layers: $(VENV)/.dev  ## imports point downwards only
	$(BIN)/lint-imports

types: $(VENV)/.dev  ## mypy --strict
	$(BIN)/mypy

bench: $(VENV)/.dev  ## fit, export and compare every table of DATA, BUDGET seconds each
	$(BIN)/python -m benchmarks.parity --data $(DATA) --budget $(BUDGET) $(ARGS)

compare: $(VENV)/.dev  ## ours beside its peers, BUDGET seconds each; makes their environments in .peers
	benchmarks/peers.sh
	$(BIN)/python -m benchmarks.compare --data $(DATA) --budget $(BUDGET) $(ARGS)

minimum: $(MINIMUM)/.dev  ## the tests again, on the oldest versions that pyproject.toml allows
	$(MINIMUM)/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile -W default $(ARGS)

build: $(VENV)/.dev  ## sdist and wheel in dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(MINIMUM) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	python=$$($(FIND_PYTHON)); "$$python" -m venv --clear $(VENV)
	touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml
	$(BIN)/$(PIP) install --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(BIN)/$(PIP) install --editable '.[boosters,plots,dev]'
	touch $(VENV)/.core $@

$(MINIMUM)/.dev: pyproject.toml .ci/lower_bounds.py
	python=$$($(FIND_PYTHON)); "$$python" -m venv --clear $(MINIMUM)
	$(MINIMUM)/bin/python .ci/lower_bounds.py pyproject.toml > $(MINIMUM)/constraints.txt
	$(MINIMUM)/bin/$(PIP) install --constraint $(MINIMUM)/constraints.txt --editable '.[boosters,plots,dev]'
	touch $@

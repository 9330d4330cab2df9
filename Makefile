# Needs Python 3.11 or newer and make; everything else comes from the package registry into .venv.
PYTHON ?= python3
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # tests start many processes, which would compile everything anew each time
PIP := $(BIN)/python -m pip install --quiet --require-virtualenv

.PHONY: demo test test-all faults fuzz lint bench words clean

demo: .venv/.demo
	$(BIN)/shopkeeper demo demo.shop

test: .venv/.dev lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-all: test .venv/.outside
	$(BIN)/python -m pytest -m outside

faults: .venv/.outside
	SHOPKEEPER_FAULTS=full $(BIN)/python -m pytest -m outside tests/faults

fuzz: .venv/.dev
	$(BIN)/python fuzz/run.py --minutes $(or $(MINUTES),10)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.bench
	$(BIN)/python benchmarks/neighbours.py

words: .venv/.dev
	$(BIN)/python tests/catalogue.py

clean:
	rm -rf .venv demo.shop .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

.venv/.made: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("shopkeeper needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.demo: .venv/.made pyproject.toml
	$(PIP) --editable '.[demo]'
	touch $@

.venv/.dev: .venv/.made pyproject.toml
	$(PIP) --editable '.[demo,dev]'
	touch .venv/.demo $@

.venv/.outside: .venv/.made pyproject.toml
	$(PIP) --editable '.[demo,dev,redis,outside]'
	touch .venv/.demo .venv/.dev $@

.venv/.bench: .venv/.made pyproject.toml
	$(PIP) --editable '.[demo,bench]'
	touch $@

# The commands of this project; `make` alone lists them. ARGS="..." is handed on where it makes sense.
SHELL := /bin/bash
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
# Named after the place: a copied or moved tree makes a venv of its own instead of importing from the old one.
READY := .venv/ready-$(firstword $(shell pwd | cksum))
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help setup demo test check docs fix bench bench-brokers chaos servers pins clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with the pinned tools and tidings itself (PYTHON=python3.13 chooses another Python)

demo: $(READY)  ## run the shop: four services over one bus, one of them killed on the way
	@test -t 1 && mode= || mode=--headless; $(PY) -m tidings demo shop $$mode $(ARGS)

test: $(READY) servers  ## run the tests, a file at a time on each of two cores (ARGS="-k retry"; ARGS="-n 0 --pdb" for one core)
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)  ## format, lint, types and floors; changes nothing
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy --strict src tests
	@$(PY) -m pyright --pythonpath $(PY) tests/typing/user_code.py
	@$(PY) -m pytest --quiet tests/test_architecture.py

docs: .venv/docs  ## build the documentation into site/, strictly (ARGS=serve shows it while you write)
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs --quiet $(or $(ARGS),build --strict)

fix: $(READY)  ## format, and mend what the linter can mend
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

bench: .venv/bench  ## measure against peers and limits, and print the table
	@$(PY) -m benchmarks $(ARGS)

bench-brokers: .venv/bench servers  ## measure the carriers on their real servers, against client libraries and peers
	@$(PY) -m benchmarks.brokers $(ARGS)

chaos: $(READY) servers  ## the crash and trial tests with large counts and chance of their own (TIDINGS_TRIALS=1000, TIDINGS_SEED=random)
	@TIDINGS_TRIALS=$${TIDINGS_TRIALS:-1000} TIDINGS_SEED=$${TIDINGS_SEED:-random} $(PY) -m pytest -m "chaos or trials" --timeout 7200 $(ARGS)

servers: $(READY)  ## install the servers that tests start for themselves, as root on Debian; elsewhere say what is missing
	@$(PY) -m tests.servers.install

pins:  ## take the newest versions of the tools into requirements/*.txt
	@for name in dev bench docs; do rm -rf .pins && $(PYTHON) -m venv .pins && \
	  .pins/bin/python -m pip --quiet install -r requirements/$$name.in && \
	  { echo "# Made from $$name.in by \`make pins\`."; .pins/bin/python -m pip freeze --local; } > requirements/$$name.txt || exit 1; \
	done; rm -rf .pins

clean:  ## remove what the commands above have made
	rm -rf .venv .pins build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tidings needs Python 3.11 or newer: make setup PYTHON=python3.12")'
	@rm -rf .venv && $(PYTHON) -m venv .venv || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
	  apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null && $(PYTHON) -m venv --clear .venv; } || \
	  { echo "No venv could be made: install your system's venv package (Debian: python3-venv), then again." >&2; exit 1; }
	@$(PIP) install --use-pep517 -r requirements/dev.txt
	@$(PIP) install --no-build-isolation -c requirements/dev.txt -e '.[all]'
	@touch $@

.venv/bench: $(READY) requirements/bench.txt
	@$(PIP) install -c requirements/dev.txt -r requirements/bench.txt
	@touch $@

.venv/docs: $(READY) requirements/docs.txt
	@$(PIP) install -c requirements/dev.txt -r requirements/docs.txt
	@touch $@

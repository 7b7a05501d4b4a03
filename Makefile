# What a person types. `make demo` and `make test` work in a clean clone with Python 3.11 or later, make and the package index.

PYTHON ?= python3
VENV ?= .venv
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

# Locks what pip installs, and its isolated builds as well (spyne comes as source only).
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help venv demo run test lint lint-rules lint-form lint-types lint-words format bench certs docs wheel lock services clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*##/\1/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

venv: $(READY)  ## make the virtual environment (.venv) with the locked versions

# Made anew after a change of the requirements; a failed installation leaves no stamp.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, and $(PYTHON) is %d.%d: try make PYTHON=python3.13" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'No virtual environment could be made (on Debian: apt-get install python3-venv)' >&2; exit 1; }
	@echo 'Installing into $(VENV) (a minute the first time) ...' >&2
	@$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(READY)  ## start both actors, submit, find and fetch the sample discharge summaries, end
	$(BIN)/xds demo $(DEMO_ARGS)

run: $(READY)  ## the same, and keep serving
	$(BIN)/xds demo --serve $(DEMO_ARGS)

test: $(READY)  ## run the tests (PYTEST_ARGS='-k soap'); with real services: see make services
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)

lint: lint-rules lint-form lint-types lint-words  ## ruff, mypy and codespell, as CI runs them; changes nothing
lint-rules: $(READY)
	$(BIN)/ruff check
lint-form: $(READY)
	$(BIN)/ruff format --check
lint-types: $(READY)
	$(BIN)/mypy
lint-words: $(READY)
	$(BIN)/codespell

format: $(READY)  ## let ruff put the code in form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY)  ## measure (BENCH_ARGS=...); see bench/
	$(BIN)/python bench/run.py $(BENCH_ARGS)

certs: $(READY)  ## make the development certificates in certs/: good, expired, foreign, revoked
	$(BIN)/python certs/make.py

docs: $(READY)  ## write the generated pages anew, and check every relative link and heading
	$(BIN)/python -m tools.queries_page > docs/queries.md
	$(BIN)/python -m tools.conformance > docs/conformance.md
	$(BIN)/python -m xds.config.describe > docs/configuration.md
	$(BIN)/python tools/links.py

wheel: $(READY)  ## build dist/open_xds-*.whl
	rm -rf build dist
	$(BIN)/python -m build --wheel

lock:  ## resolve the requirements anew into constraints.txt, with the oldest and the newest Python
	env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(PYTHON) tools/lock.py "$$(tools/find-python 3.11)" "$$(tools/find-python 3.13)"

services: $(READY)  ## start PostgreSQL, MinIO and versitygw for the tests; tools/services.sh has the rest
	tools/services.sh start
	@echo 'Now: eval "$$(tools/services.sh env)" && make test'

clean:  ## remove what was made here, but not the services' data
	rm -rf .venv .venv-* build dist demo htmlcov .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	rm -f certs/*.pem certs/*.key certs/*.p12
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Only Python 3.11 or later is needed: the first command installs everything else into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The peers of the benchmarks and the library for their charts have an environment of their own.
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.installed
# Additional arguments for pytest, the command line or the benchmarks, as in `make test ARGS="tests/unit -x"`.
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## Start everything; PORT (8000), FLOWER_PORT (5555) and DATA_DIR (.data) can be set
	@$(BIN)/python -m core run

demo: $(STAMP) ## Start everything with made-up data and weather, without internet; DATA_DIR is .demo
	@$(BIN)/python -m core.cli demo

test: $(STAMP) ## Run the tests against servers of their own
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

lint: $(STAMP) ## Check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

migrate: $(STAMP) ## Bring the database schema up to date
	@$(BIN)/python -m core migrate

admin: $(STAMP) ## Make an admin account, as in: make admin ARGS="--email ada@example.com"
	@$(BIN)/python -m core admin $(ARGS)

chaos: $(STAMP) ## Run the long fault-injection tests
	@$(BIN)/python -m pytest -m chaos tests/chaos $(ARGS)

bench: $(STAMP) $(BENCH_STAMP) ## Measure the API against its peers; ARGS="compare --rounds 3" runs one part
	@$(BIN)/python -m benchmarks --peer-python $(BENCH_VENV)/bin/python $(ARGS)

report: $(BENCH_STAMP) ## Write the results of docs/performance/results.json into docs/performance.md, with charts
	@$(BENCH_VENV)/bin/python -m benchmarks.report docs/performance/results.json

messages: $(STAMP) ## Collect the texts that are translated into the catalogues under core/locales
	$(BIN)/python -m babel.messages.frontend extract --mapping core/locales/babel.cfg --keywords msg --no-location \
		--sort-output --omit-header --output-file core/locales/messages.pot api core worker
	$(BIN)/pybabel update --input-file core/locales/messages.pot --output-dir core/locales --no-fuzzy-matching \
		--ignore-obsolete --ignore-pot-creation-date

lock: $(STAMP) ## Pin the newest versions of all requirements
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make lock" requirements.in --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make lock" requirements-dev.in --output-file requirements-dev.txt

clean: ## Remove what can be made again; the data in .data and .demo stay
	rm -rf $(VENV) $(BENCH_VENV) .bench .coverage .coverage.* coverage.xml htmlcov .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(STAMP): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Allweather needs Python 3.11 or later; this is %d.%d. Set PYTHON to a newer one, as in: make run PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "Installing what Allweather needs into $(VENV), once; this takes about a minute."
	@$(PYTHON) -m venv --clear $(VENV) || { echo "Python's venv module is needed; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --no-input --disable-pip-version-check $(foreach file,$^,--requirement $(file))
	@$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --no-deps --editable .
	@touch $@

$(BENCH_STAMP): requirements.txt benchmarks/requirements.txt
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet $(foreach file,$^,--requirement $(file))
	@touch $@

.PHONY: help run demo test lint format migrate admin chaos bench report messages lock clean

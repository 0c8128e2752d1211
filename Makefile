# Two commands matter: `make demo` and `make test`. Both set up all they need in .venv first.

# The first Python that runs, is new enough and can make a virtual environment; `make PYTHON=...` overrides.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready

# CI tests the wheel, with the sources out of the way; a person tests what is being edited.
EDITABLE := $(if $(CI),,--editable)

.PHONY: demo test load soak lock bundle recording format clean

demo: $(READY)  ## make two videos on the embedded sandbox, through a real MCP client
	$(BIN)/aivideo-mcp demo

test: $(READY)  ## the whole gate: format, lint, types, layers, tests with coverage, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/docs.py --check
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

load: $(READY)  ## longer: kills, bad days and many waiters against real processes; five minutes
	$(BIN)/python -m pytest benchmarks

bundle: $(READY)  ## pack dist/aivideo-mcp-VERSION.mcpb for Claude Desktop, and try it; needs npm
	bash scripts/bundle.sh

soak: $(READY)  ## a long bad day against real processes, eight minutes; MINUTES=2 is shorter
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),8)

recording: $(READY)  ## record the demo anew: docs/demo.cast, and docs/demo.svg drawn from it
	$(BIN)/python scripts/record.py

format: $(READY)  ## rewrite code style and the generated blocks of the documents
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/docs.py

lock:  ## renew requirements.lock, the exact dependencies of development with their hashes
	bash scripts/lock.sh

$(READY): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "aivideo-mcp needs Python 3.11 or newer with venv" \
	  "(on Debian: apt install python3-venv). Name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up .venv with $(PYTHON) (once; about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(EDITABLE) .
	@touch $(READY)

clean:  ## remove what the other targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* aivideo-demo dist

# One command per act, the same at the desk and in CI. Each sets up its own virtual environment when there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## Compose real videos: plan, apply, apply again, change one line, apply
	@PATH="$(abspath $(BIN)):$$PATH" sh scripts/demo.sh $(DEMO)

test: $(VENV)/.dev ## Run the tests (a few minutes)
	$(BIN)/python -m pytest -n auto -m "not slow"

test-slow: $(VENV)/.dev ## Run the volume and soak tests too
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev ## Format check, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measure, side by side with what one would do instead
	$(BIN)/python -m benchmarks

docs: $(VENV)/.dev ## Write the generated parts of docs/ and the README's pictures anew
	$(BIN)/python scripts/write_docs.py

clean: ## Remove what the other commands made
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "reconciler needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.run

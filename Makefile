# Needs python3 (3.11 or newer), pip and make; everything else is fetched into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --upgrade

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench fuzz lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/runtime.stamp ## Build, sign, inspect and verify an extension from real firmware
	@scripts/demo

test: $(VENV)/dev.stamp ## Run every test; with root on Debian also set up the tools to compare with
	scripts/setup-oracles
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp ## Check style and types only
	$(BIN)/python -m pytest -q tests/unit/test_linters.py tests/unit/test_import_rules.py \
		tests/unit/test_portability.py

bench: $(VENV)/dev.stamp ## Measure against systemd-repart, veritysetup and the floor (root, Debian)
	scripts/setup-oracles
	$(BIN)/python benchmarks/run.py

fuzz: $(VENV)/dev.stamp ## Give a million damaged files to every parser (Linux)
	$(BIN)/python fuzz/campaign.py

lock: $(VENV)/dev.stamp ## Renew requirements/*.txt
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) pyproject.toml requirements/build.in -o requirements/runtime.txt
	$(LOCK) pyproject.toml requirements/build.in --group dev --extra fast --extra hsm --extra node --extra squashfs \
		-c requirements/runtime.txt -o requirements/dev.txt

clean: ## Remove the environment, the demo's output and all caches of this folder
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks examples fuzz -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/runtime.stamp: requirements/runtime.txt pyproject.toml scripts/setup-venv
	PYTHON="$(PYTHON)" scripts/setup-venv $(VENV) requirements/runtime.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/runtime.stamp
	PYTHON="$(PYTHON)" scripts/setup-venv $(VENV) requirements/dev.txt
	@touch $@

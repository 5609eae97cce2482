# Thin: each target calls one plain command. A fresh Debian or Ubuntu machine needs git, make and
# Python 3.11 or newer; everything else is installed on first use, into .venv.
PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT ?= demo-output
KERNEL := $(VENV)/.ready-kernel

export PYTHONUNBUFFERED := 1
# On a busy machine, threads that wait for each other by spinning slow each other down many times.
export OMP_WAIT_POLICY ?= PASSIVE
test test-slow: export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test test-slow lint format bench screenshots wheel clean

help:
	@echo "make demo         phantom -> DRRs -> synthetic CT -> comparison, into $(OUT)/"
	@echo "make test         all tests but the slow ones; 'make test-slow' runs those"
	@echo "make lint         ruff, formatting, types, import contracts"
	@echo "make bench        timings beside other projectors, which it installs into $(BENCH)"
	@echo "make screenshots  the README's pictures, from the module itself"
	@echo "make setup        only install what the above need"
	@echo "make wheel        the pip package, into dist/"
	@echo "make clean        remove what make made"

setup: $(VENV)/.ready-dev $(KERNEL)

# torch first and alone: asked for by another package, pip may pick another build of it.
$(VENV)/.ready: pyproject.toml constraints.txt
	PYTHON=$(PYTHON) sh Testing/Repository/system_packages.sh python
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e .
	touch $@

# The DRR kernel: without a compiler numpy does its work, several times slower.
$(KERNEL): $(VENV)/.ready TomoRay/TomoRayCore/drr/kernel.c
	-$(BIN)/python -m TomoRayCore.drr.build
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	PYTHON=$(PYTHON) sh Testing/Repository/system_packages.sh tests
	$(PIP) install -c constraints.txt -e ".[train,dev]"
	touch $@

demo: $(VENV)/.ready $(KERNEL)
	$(BIN)/tomoray demo --out $(OUT)

# The harness first, in a process of its own: only one can run in each.
test: $(VENV)/.ready-dev $(KERNEL)
	cd Testing/SlicerHarness && $(abspath $(BIN))/python -m pytest -q
	$(BIN)/python -m pytest -q

test-slow: $(VENV)/.ready-dev $(KERNEL)
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Other projectors pull in packages that nothing else here needs, so they have a place of their own.
$(BENCH)/.ready: pyproject.toml constraints.txt Testing/benchmarks/requirements.txt
	PYTHON=$(PYTHON) sh Testing/Repository/system_packages.sh python
	-PYTHON=$(PYTHON) sh Testing/Repository/system_packages.sh benchmarks
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt torch==2.13.0
	$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt -e . \
	    -r Testing/benchmarks/requirements.txt
	touch $@

# Options: make bench BENCH_OPTIONS="--quick --markdown"
bench: $(BENCH)/.ready
	-$(BENCH)/bin/python -m TomoRayCore.drr.build
	$(BENCH)/bin/python -m Testing.benchmarks $(BENCH_OPTIONS)

screenshots: $(VENV)/.ready-dev
	PYTHONPATH=Testing/SlicerHarness $(BIN)/python Testing/Slicer/make_screenshots.py

wheel: $(VENV)/.ready-dev
	$(PIP) wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(BENCH) demo-output dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache TomoRay/TomoRayCore/drr/tomoray_kernel.*

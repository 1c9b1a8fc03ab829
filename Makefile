# `make` lists what can be done. Set-up happens by itself, once: every target that needs it asks for it.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# What to run: the usual experiments, unless told otherwise. SCHEME, POLICY and SET take several words.
FLAGS = $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(PHASE),--phase $(PHASE)) \
	$(if $(ENGINE),--engine $(ENGINE)) $(if $(DOMAIN),--domain $(DOMAIN)) \
	$(foreach scheme,$(SCHEME),--scheme $(scheme)) $(foreach policy,$(POLICY),--policy $(policy)) \
	$(foreach setting,$(SET),--set $(setting)) $(if $(RESULTS),--results $(RESULTS)) $(if $(JOBS),--jobs $(JOBS)) $(if $(RESUME),--resume $(RESUME))

# A process for each core; the files that take longest come first.
PYTEST = $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run-experiment test test-unit fuzz lint bench doctor vm vm-run vm-test setup setup-system kernel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 20
	@echo
	@echo '  make run-experiment EXPERIMENT=handover RUNS=5 SEED=7 ENGINE=uml DOMAIN=tree JOBS=1 \
	    SCHEME="pmip sd-pmip" SET="access.delay=3ms"'

run-experiment: setup $(if $(filter native,$(ENGINE)),,kernel) ## run EXPERIMENT (default: the usual ones), analyse and plot it into results/latest
	@$(BIN)/dmmlab run $(EXPERIMENT) $(FLAGS)

test: setup kernel ## all tests: unit and emulation
	@$(PYTEST) tests/emulation tests/unit

test-unit: setup ## the tests that need neither a kernel nor privileges
	@$(PYTEST) tests/unit

fuzz: setup ## look for inputs that break what reads them, for MINUTES (10); TARGET picks some of tests/fuzz/fuzz_*.py
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
	|| $(BIN)/python -m pip install -qqq --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-fuzz.txt \
	|| { echo "fuzz: no atheris for $$($(BIN)/python -V) on $$(uname -m): it needs an index in reach and CPython 3.11 to 3.14 on x86_64;" \
	"for another Python: make fuzz PYTHON=/usr/bin/python3.11 VENV=.venv-fuzz" >&2; exit 1; }
	@$(BIN)/python tests/fuzz/fuzz.py --minutes $(or $(MINUTES),10) $(TARGET)

lint: setup ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup kernel ## speed, as ratios
	@$(BIN)/python -m experiments.bench

doctor: setup ## what this machine can do, what is missing and what mends it
	@$(BIN)/dmmlab doctor

vm: setup kernel ## a virtual machine with all of it inside, build/vm/dmmlab.FORMAT (qcow2, raw, ova); DESKTOP=1 adds a desktop
	@engines/setup-system vm
	@$(BIN)/python -m vm build $(if $(FORMAT),--format $(FORMAT)) $(if $(DESKTOP),--desktop)

vm-run: setup ## start that machine in QEMU, with its console here and results/ shared
	@engines/setup-system vm-run
	@$(BIN)/python -m vm run $(if $(DESKTOP),--desktop) $(if $(PROCESSORS),--processors $(PROCESSORS)) $(if $(MEMORY),--memory $(MEMORY))

vm-test: setup ## EXPERIMENT (fig1 and handover) in that machine, under TCG: the reference's bytes? how exact is real time? (an hour or so)
	@engines/setup-system vm-run
	@$(BIN)/python -m vm test $(EXPERIMENT) $(if $(DESKTOP),--desktop)

setup: $(READY) ## the virtual environment, with the locked versions

$(READY): requirements.txt pyproject.toml | setup-system
	@echo "setup: $(VENV), with what requirements.txt locks"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup-system: ## what the system lacks, from Debian's packages (as root, or with sudo)
	@engines/setup-system

ifeq ($(shell uname -m),x86_64)
kernel: setup ## the User-Mode Linux kernel, built once into the user's cache folder
	@$(BIN)/python -m engines.kernel build >/dev/null
else
kernel: ;
endif

clean: ## remove the virtual environment and the tools' caches; results and kernels stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make run | make test | make lint | make help. Needs python3, pip and make; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
CASE ?= case14
ARGS ?=
TESTS ?=
JOBS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_ARGS)
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install run test lint format clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'Options: CASE=case14|case5|case118|<Grid2Op environment>  ARGS="<of experiments.train>"  TESTS="<of pytest>"'
	@echo '         JOBS=2 test processes  VENV=.venv  PYTHON=python3  PIP_ARGS="<of pip>"'

install: $(READY) ## create .venv and install everything, with the versions of constraints.txt

run: $(READY) ## train a team of zones against an opponent, evaluate it; results under runs/
	$(BIN)/python -m experiments.train --case $(CASE) $(ARGS)

test: $(READY) ## run the tests (slow ones: make test TESTS="-m slow")
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

lint: $(READY) ## style, formatting and types
	@status=0; for check in 'ruff check .' 'ruff format --check .' mypy; do \
		echo "$$check"; $(BIN)/$$check || status=1; done; exit $$status

format: $(READY) ## format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Not every system python can bootstrap pip into a venv; then the system's pip does it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'constraints.txt needs Python 3.11 or newer:' \
		'give another one, such as make PYTHON=python3.12'; exit 1; }
	@test -x $(BIN)/python || echo 'creating $(VENV): takes a few minutes the first time'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV) && $(PYTHON) -m venv --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install -q pip; }
	@$(PIP) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@

# One command each. A Python of these versions and make are all it takes.
#   PYTHON    which Python:                 make venv PYTHON=python3.12
#   PIP_ARGS  more to say to pip, such as where to look for a smaller build of torch (README, Setting up)
PYTHONS := 3.11 3.12
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip
PINNED := $(PIP) install --quiet --constraint constraints.txt $(PIP_ARGS)
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

.PHONY: venv spark demo test slow lint server serve wheel clean

venv: $(STAMP)

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; got = "%d.%d" % sys.version_info[:2]; sys.exit(None if got in "$(PYTHONS)".split() else "rnnrec: expected one of the Python versions it was tried with, $(PYTHONS); $(PYTHON) is " + got + ". Name another one: make venv PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PINNED) hatchling editables # the build backend, pinned too: an isolated build would take the newest
	$(PINNED) --no-build-isolation --editable '.[dev]'
	$(PIP) check
	touch $(STAMP)

spark: venv # pyspark, for [engine] kind = "spark" and its slow tests; a Java 17 is the system's
	$(PINNED) '$(shell sed -n 's/^spark = \["\([^"]*\)"\].*/\1/p' pyproject.toml)'

demo: venv
	$(BIN)/rnnrec demo

test: venv # a file of tests at a time on each core, one thread a process: two would wait for each other
	$(SIDE_BY_SIDE) -m "not slow"

slow: venv # likewise
	$(SIDE_BY_SIDE) -m slow

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check flows tasks rnnrec_model tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint tasks

server: venv
	$(BIN)/rnnrec server

serve: server # its earlier name

wheel: venv # the model library alone; the application runs from its folder
	cd rnnrec_model && $(abspath $(BIN))/python -m hatchling build -t wheel -d $(abspath dist)

clean:
	rm -rf demo var dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

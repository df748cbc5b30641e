# make demo   the main job on forged clips, from nothing
# make test   lint and test, from nothing
# Nothing but Python >= 3.10 and make is assumed; both share one environment.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-slow format clean

demo: $(READY)
	$(BIN)/deepfake-ensemble demo --out demo

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -m "slow"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made again when what it is made from has changed.
$(READY): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else f"Python >= 3.10 is needed; {v.major}.{v.minor} found. Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) demo build *.egg-info

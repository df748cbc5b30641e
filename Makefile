# make demo   the main job on forged clips, from nothing
# make starter REALS=folder RIGHTS="whose footage"   a first model from real footage
# make test   lint and test, from nothing
# make docs   the documentation as a site, in build/docs
# make cluster   the tests on clusters of Dask and Ray, long ones too
# make coverage   which lines and branches the tests run, long ones too
# make faults   hostile files, faults and kills at length, with a table of what came
# Nothing but Python >= 3.10 and make is assumed; both share one environment.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# On real clusters of Dask and Ray; how long each test took is printed.
CLUSTER_TESTS := tests/ensemble/test_backends.py \
	tests/ensemble/test_lost_workers.py \
	tests/base_models/runtime/test_clusters.py \
	tests/base_models/runtime/test_lost_tasks.py \
	tests/base_models/runtime/test_cluster_engines.py \
	tests/ensemble/cli/test_cli_clusters.py \
	tests/ensemble/verdicts/test_scores_on_clusters.py \
	tests/ensemble/test_stress_on_backends.py \
	tests/test_cluster_benchmark.py

.PHONY: demo starter test test-slow docs cluster coverage faults format clean

demo: $(READY)
	$(BIN)/deepfake-ensemble demo --out demo

# Whose footage it is stands in the model's card; where RIGHTS is empty it is asked for.
quoted = '$(subst ','\'',$(value $(1)))'
starter: $(READY)
	$(BIN)/python examples/starter.py $(call quoted,REALS) \
		$(if $(value OUT),$(call quoted,OUT),starter) --rights $(call quoted,RIGHTS)

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 \
		--dist worksteal --durations=25 --durations-min=2

test-slow: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[dev-slow]"
	$(BIN)/python -m pytest -m "slow"

# Any warning is an error: a broken link, a docstring that is no numpydoc.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going --quiet -c examples/docs . build/docs
	@echo "Open build/docs/index.html"

cluster: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[dev-slow]"
	$(BIN)/python -m pytest --durations=0 $(CLUSTER_TESTS)

coverage: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[dev-slow]"
	$(BIN)/python -m pytest -m "not gpu" -n 2 --dist worksteal --cov --cov-report=term

faults: $(READY)
	$(BIN)/python tests/faults/run.py --json faults.json

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is made again when what it is made from has changed.
$(READY): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else f"Python >= 3.10 is needed; {v.major}.{v.minor} found. Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install --quiet --upgrade pip  # older ones take minutes to choose
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) demo build *.egg-info

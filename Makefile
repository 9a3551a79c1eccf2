# Two commands on a fresh machine with python3.11, pip and make: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-long coverage lint bench bench-titration bench-contamination bench-simulated bench-limits bench-soup bench-nascent bench-calibration bench-donors bench-readouts bench-trajectory bench-speed bench-neighbours bench-passes bench-scores bench-programs bench-panel bench-atlas bench-zoo bench-contracts bench-loading bench-streaming bench-trend bench-validate validation docs wheel clean

demo: $(VENV)/.installed ## run the main job on a simulated batch
	$(BIN)/scdiff demo --out demo

test: $(VENV)/.installed-dev ## the fast suite
	-sh tests/install_chromium.sh
	-sh tests/install_postgres.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not long" --durations=20

test-slow: $(VENV)/.installed-dev ## what takes more than about three seconds each
	$(BIN)/python -m pytest -n 2 -m "slow and not long" --durations=20

test-long: $(VENV)/.installed-dev ## what takes minutes: before a release
	-sh tests/install_multiqc.sh
	$(BIN)/python -m pytest -n 2 -m long --durations=20

coverage: $(VENV)/.installed-dev ## share of lines and branches that the fast suite runs
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not long" --cov --cov-report=term:skip-covered

lint: $(VENV)/.installed-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: bench-titration bench-contamination bench-simulated bench-limits bench-soup bench-nascent bench-calibration bench-donors bench-readouts bench-trajectory bench-speed bench-neighbours bench-passes bench-scores bench-programs bench-panel bench-atlas bench-zoo bench-contracts bench-loading bench-streaming bench-trend bench-validate ## every benchmark; tables in tests/benchmarks/results

bench-titration bench-contamination bench-simulated bench-limits bench-soup bench-nascent bench-calibration bench-donors bench-readouts bench-trajectory bench-speed bench-neighbours bench-passes bench-scores bench-programs bench-panel bench-atlas bench-zoo bench-contracts bench-loading bench-streaming bench-trend bench-validate: $(VENV)/.installed-bench
	$(BIN)/python tests/benchmarks/$(subst -,_,$@).py

validation: $(VENV)/.installed ## validate this version by the shipped protocol: docs/validation
	rm -rf docs/validation
	$(BIN)/scdiff validate standard --out docs/validation
	rm -rf docs/validation/.scdiff

PAGES = '*.md' docs 'notebooks/*.ipynb' 'pipelines/*.yaml' scdiff/batches/specifications scdiff/batches/protocols 'scdiff/batches/*.json'

docs: $(VENV)/.installed-docs ## build the documentation site into build/site; a broken link is an error
	rm -rf build/docs build/site
	mkdir -p build/docs
	git ls-files -z $(PAGES) | xargs -0 cp --parents -t build/docs
	cp docs/site/index.md build/docs/index.md
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs/site build/docs build/site

wheel: $(VENV)/.installed-dev ## build the source distribution and, from it, the wheel into dist/
	$(BIN)/python -m build --outdir dist .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,workflow,cluster,distributed]'
	touch $@

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[enrich,trajectory,ambient,bench]'
	touch $@

clean: ## remove everything that was made
	rm -rf $(VENV) demo build dist

# Two commands do all the set-up on a fresh machine, each alone: make demo, make test.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What the example takes by default; then it uses the records that the command line made.
FEATURES := hks,curvature,second_fundamental_form
STAMP := $(VENV)/.installed

.PHONY: demo test lint docs slow clean

demo: $(STAMP)
	@echo "The demo: 1. compile, and preprocess the 240 embedded meshes (a minute or two on two cores, once);"
	@echo "2. train a classifier on half of them, 30 epochs (about two minutes); 3. accuracy, equivariance error and pictures in runs/demo."
	$(BIN)/gaugenet preprocess datasets/shapes runs/demo/records --rings 2 --levels 1 --normalize --features $(FEATURES)
	$(BIN)/python examples/shape_classification.py --records runs/demo/records --out runs/demo --epochs 30

test: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/mkdocs build --strict --site-dir runs/site

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# torch comes first and pinned: a plain torch may fetch gigabytes of CUDA packages.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) runs build *.egg-info

# Every target makes .venv from requirements-lock.txt first, and uses it again afterwards.
PYTHON ?= python3
RUN ?= galclass/pretrained
# A run on the same galaxies to compare RUN with.
BESIDE ?= $(if $(filter galclass/pretrained,$(RUN)),figures/runs/published)
SIZE ?= page
OUT ?= figures
SEED ?= 0
BIN = .venv/bin

.PHONY: help demo test docs reproduce figures lock clean

help:  ## explain the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

demo: .venv/ready  ## run the notebook on simulated galaxies, in a few minutes, into runs/demo/
	$(BIN)/galclass notebook --data simulated --epochs 15 --out runs/demo --overwrite

test: .venv/ready  ## check style and types, and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST)

docs: .venv/ready  ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo docs/_build/html/index.html

reproduce: .venv/ready  ## run the notebook on Galaxy10 (210 MB on first use) with the full recipe
	$(BIN)/galclass notebook --data galaxy10 --seed $(SEED) --out runs/galaxy10 --resume

figures: .venv/ready  ## plot the README's figures from a run: make figures RUN=runs/NAME [SIZE=column OUT=FOLDER]
	$(BIN)/galclass figures $(RUN) $(if $(BESIDE),--beside $(BESIDE)) --examples simulated --size $(SIZE) --out $(OUT)

lock:  ## pin all requirements anew (needs uv)
	echo 'tensorflow>=2.21' | uv pip compile pyproject.toml - --universal --python-version 3.10 \
	  --extra notebook --extra ray --extra test --extra docs --upgrade --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements-lock.txt

clean:  ## delete .venv; runs and data stay
	rm -rf .venv

.venv/ready: requirements-lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "galclass needs Python 3.10 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

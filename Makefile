# Every target installs what it needs into .venv, with the versions of requirements-lock.txt.
PYTHON ?= python3
RUN ?= galclass/pretrained
# Another run on the same galaxies: the figure comparison.png shows its history and that of RUN.
BESIDE ?= $(if $(filter galclass/pretrained,$(RUN)),figures/runs/published)
SIZE ?= page
OUT ?= figures
SEED ?= 0
BIN = .venv/bin

# Without compiled modules, each import of TensorFlow takes 10 s longer.
unexport PYTHONDONTWRITEBYTECODE
# Jupyter's debugger would warn about frozen modules.
export PYDEVD_DISABLE_FILE_VALIDATION = 1

# Run the notebook into runs/NAME.ipynb, with its run folder next to it, and convert it to HTML:
# $(call run_notebook,NAME,DATA,OTHER PARAMETERS). The terminal shows what the cells print. The log
# of Jupyter is shown only if the notebook fails.
define run_notebook
	@mkdir -p runs
	@$(BIN)/papermill CNN_galaxies.ipynb runs/$(1).ipynb -p data $(2) -p run_dir runs/$(1) $(3) \
	  --no-progress-bar --stdout-file - --stderr-file - 2> runs/$(1).log \
	  || { cat runs/$(1).log >&2; exit 1; }
	@$(BIN)/jupyter nbconvert --to html --log-level ERROR runs/$(1).ipynb
	@rm -f runs/$(1).log
	@echo "Open runs/$(1).html in a browser. The run folder, with the figures, is runs/$(1)."
endef

.PHONY: help demo test test-all docs reproduce figures lock clean

help:  ## explain the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

demo: .venv/notebook  ## run the notebook on simulated galaxies: runs/demo.html, runs/demo/
	@echo "The notebook trains the network on simulated galaxies; this takes some minutes."
	@rm -f runs/demo.ipynb runs/demo.html
	@if [ -e runs/demo/manifest.json ]; then \
	  $(BIN)/python -c "import pathlib, galclass.run as run; run.delete_run(pathlib.Path('runs/demo'))"; fi
	$(call run_notebook,demo,simulated,-p n 1800 -p recipe quick)

test: .venv/test  ## check style and types, and run the quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(PYTEST)

test-all: test  ## run the slow tests, too
	$(BIN)/python -m pytest -n 2 --dist loadscope -m slow $(PYTEST)

docs: .venv/docs runs/demo.ipynb  ## build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo docs/_build/html/index.html

runs/demo.ipynb:
	$(MAKE) demo

reproduce: .venv/notebook  ## run the notebook on Galaxy10 (210 MB on first use), then train as published
	$(call run_notebook,galaxy10,galaxy10,-p seed $(SEED))
	$(BIN)/galclass train --data galaxy10 --recipe published --seed $(SEED) --out runs/published --resume
	$(BIN)/galclass figures runs/galaxy10 --beside runs/published

figures: .venv/notebook  ## plot the README's figures from a run: make figures RUN=runs/NAME [SIZE=column OUT=FOLDER]
	$(BIN)/galclass figures $(RUN) $(if $(BESIDE),--beside $(BESIDE)) --examples simulated --size $(SIZE) --out $(OUT)

# pyproject.toml also allows older versions of TensorFlow; the locked one must not be older than the
# version that docs/results.md was measured with.
lock: .venv/python  ## update the versions in requirements-lock.txt
	echo 'tensorflow>=2.21' | $(BIN)/uv pip compile pyproject.toml - --universal --python-version 3.10 \
	  --extra notebook --extra ray --extra page --extra test --extra docs --upgrade --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements-lock.txt

clean:  ## delete .venv; runs and data stay
	rm -rf .venv

# Make the environment .venv:
# 1. Find a Python that TensorFlow supports, in this order; the empty name ends the list, and then
#    there is none.
# 2. Make the environment with uv, which fetches Python if there is none, otherwise with venv.
# 3. If this fails, say what to install.
# 4. An environment made by venv has pip, which installs uv, because uv installs faster.
.venv/python:
	@uv=$$(command -v uv); \
	for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3.10 ""; do \
	  "$$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && break; \
	done; \
	if [ "$$uv" ]; then "$$uv" venv --quiet --clear --python "$${python:-3.13}" .venv; \
	elif [ "$$python" ]; then "$$python" -m venv --clear .venv; \
	else echo "galclass needs Python 3.10 to 3.13; install one, or uv, which fetches it" >&2; exit 2; fi || \
	  { echo "no environment in .venv: install uv (or, on Debian, python3-venv) and try again" >&2; exit 2; }
	@[ -e $(BIN)/pip ] && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv || true
	@touch $@

EXTRAS_notebook = notebook
EXTRAS_test = notebook,ray,page,docs,test
EXTRAS_docs = notebook,docs

.venv/notebook .venv/test .venv/docs: .venv/%: .venv/python requirements-lock.txt pyproject.toml
	@echo "Installing galclass[$(EXTRAS_$*)] into .venv; the first time, this downloads some 820 MB."
	@if [ -e $(BIN)/uv ]; then uv=$(BIN)/uv; else uv=$$(command -v uv); fi; \
	if [ "$$uv" ]; then "$$uv" pip install --quiet --python $(BIN)/python --build-constraints requirements-lock.txt \
	  --constraints requirements-lock.txt --editable ".[$(EXTRAS_$*)]"; \
	else PIP_CONSTRAINT=requirements-lock.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --editable ".[$(EXTRAS_$*)]"; fi
	@touch $@

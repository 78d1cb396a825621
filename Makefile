# What a newcomer types. Each target makes its own virtual environment from pyproject.toml; nothing else is needed but
# Python 3.10 or newer. `make train PYTHON=python3.12` chooses another Python, VENV=somewhere another folder.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Modules are compiled when they are imported, not all at once: half a minute less.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --editable
LENET := models/lenet
# Hostile files by number: how many, and from which on.
COUNT ?= 10000
FIRST ?= 0

.PHONY: train test test-gpu test-plans fuzz check docs bench clean

train: $(LENET)/digits_train_lmdb  ## LeNet on the bundled digits: a JPEG database, training, a curve picture
	$(BIN)/caffepy train --solver $(LENET)/solver.prototxt --run-dir runs/lenet

test: $(VENV)/.test  ## the whole test suite
	$(BIN)/pytest -n auto

GPU_TESTS := tests/gpu tests/test_contract.py tests/layers tests/oracle tests/ops tests/solver tests/pycaffe \
	tests/evaluation tests/net/test_fusion.py
# What starts pytest: `make test-gpu PYTEST="python emulator -m pytest"` where the device is not a real one.
PYTEST ?= $(BIN)/pytest

test-gpu: $(VENV)/.test  ## the tests that want a GPU; install CuPy for it first, see docs/gpu.md
	$(PYTEST) -n auto -k gpu $(GPU_TESTS)

# On an emulated GPU, `make test-plans RUN="python emulator" GPUS="H100 V100"`: cuDNN plans for each of these.
RUN ?= $(BIN)/python
GPUS ?=

test-plans: $(VENV)/.test  ## what cuDNN plans of all convolutions of models/, in each precision and layout: minutes
	@for gpu in $(or $(GPUS),""); do FAKEGPU_DEVICE=$$gpu $(RUN) -m tests.gpu.cudnn_plans || exit 1; done

fuzz: $(VENV)/.test  ## 10,000 hostile files and the large ones, nightly; `make fuzz FIRST=10000` does the next
	$(BIN)/python -m tests.attacks.fuzz $(COUNT) $(FIRST)

check: $(VENV)/.test  ## what CI checks beside the tests: format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs  ## the documentation as web pages, in build/docs
	$(BIN)/sphinx-build --fail-on-warning -b html docs build/docs

bench: $(VENV)/.bench  ## speed against PyTorch, OpenCV and (CAFFE_BIN) Caffe, into docs/performance.md: an hour, on an idle machine
	$(BIN)/python -m tests.benchmarks.run

clean:  ## the environments and what was built in them
	rm -rf $(VENV) build runs $(LENET)/digits_train_lmdb

$(LENET)/digits_%_lmdb: | $(VENV)/.run
	$(BIN)/caffepy convert-mnist --encode_type jpg --resize_height 28 --resize_width 28 \
		$(LENET)/digits/$*-images-idx3-ubyte.gz $(LENET)/digits/$*-labels-idx1-ubyte.gz $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(INSTALL) .
	touch $@

$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(INSTALL) '.[$*]'
	touch $@

# Each target stands alone on a machine that has only Python 3.11+ and make.
PYTHON ?= python3
# A package index to take torch from, where the default one is not wanted (see docs/howto/gpu.md).
TORCH_INDEX ?=
OUT ?= runs
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test coverage slow lint docs format clean

demo: $(READY)
	@$(BIN)/embargo demo --out $(OUT)

# One process per core, one thread each: more threads than cores make OpenMP stall. Compiled modules are kept even where
# the environment says not to: tests start many processes, and each would compile all of the product anew.
TESTED := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest

test: $(READY)
	$(TESTED) -n auto --dist loadfile $(PYTEST_ARGS)

# Apart from the tests, which take over a third longer under it.
coverage: $(READY)
	$(TESTED) -n auto --dist loadfile --cov --cov-report=term $(PYTEST_ARGS)

slow: $(READY)
	$(TESTED) -n auto --dist loadfile -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(VENV)/names && ln -sfn ../.. $(VENV)/names/embargo
	$(BIN)/mypy
	$(BIN)/lint-imports

# Into build/site; every link is checked, and nothing in it is fetched from elsewhere when it is opened.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.docs: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

# torch goes in first and exactly pinned: left to a range, pip would fetch its newest build with all of CUDA.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Embargo needs Python 3.11 or later; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

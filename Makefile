# On a fresh clone with Python ≥ 3.11 and make: `make test`, `make measure`, `make finetune`, `make mutation`.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: measure test finetune mutation check format clean

measure: $(INSTALLED)
	$(BIN)/python -m benchmarks measure

finetune: $(INSTALLED)
	$(BIN)/python -m impl.finetune

mutation: $(INSTALLED)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m tests.mutation run

test: check
	$(BIN)/python -m pytest
	$(BIN)/python -m properties --impl impl:factory
	$(BIN)/python -m properties --threads 1 --impl 'impl:factory?weights=lazy&solver=cg'
	$(BIN)/python -m properties --threads 1 --impl 'impl:factory?weights=lazy&maintenance=keep&solver=sketched-cg'
	$(BIN)/python -m properties --threads 1 --impl reference:factory
	$(BIN)/asv check -E existing:same

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,mutation,test]'
	touch $@

clean:
	rm -rf .venv .asv .hypothesis .mypy_cache .ruff_cache build *.egg-info results

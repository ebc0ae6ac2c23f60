# On a fresh clone with Python ≥ 3.11 and make: `make test`, `make measure`, `make finetune`, `make mutation`.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: measure test finetune mutation asv-machine asv-run asv-compare asv-publish check format clean

measure: $(INSTALLED)
	$(BIN)/python -m benchmarks measure

finetune: $(INSTALLED)
	$(BIN)/python -m impl.finetune

mutation: $(INSTALLED)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m tests.mutation run

# The measurements by commit (benchmarks/suites/README.md). MACHINE is a name for this host, BASE what HEAD is held against.
BASE ?= HEAD~1
ASV := $(BIN)/asv
ON := $(if $(MACHINE),--machine $(MACHINE))
ASV_RUN := $(ASV) run -E existing:same --record-samples $(ON)

asv-machine: $(INSTALLED)
	$(if $(MACHINE),,test -f ~/.asv-machine.json ||) $(ASV) machine --yes $(ON) > /dev/null

asv-run: asv-machine
	ASV_PYTHONPATH="$(CURDIR)" $(ASV_RUN) --set-commit-hash HEAD

asv-compare: asv-run
	rm -rf .asv/base && git worktree prune && git worktree add --detach .asv/base $(BASE)
	ASV_PYTHONPATH="$(CURDIR)/.asv/base" $(ASV_RUN) --set-commit-hash $(BASE)
	git worktree remove --force .asv/base
	$(ASV) compare --factor 1.05 $(ON) $(BASE) HEAD

asv-publish: $(INSTALLED)
	$(ASV) publish --no-pull

test: check
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m properties --impl impl:factory
	$(BIN)/python -m properties --threads 1 --impl 'impl:factory?weights=lazy&solver=cg'
	$(BIN)/python -m properties --threads 1 --impl 'impl:factory?weights=lazy&maintenance=keep&solver=sketched-cg'
	$(BIN)/python -m properties --threads 1 --impl 'impl:factory?weights=lazy&maintenance=keep&storage=bfloat16'
	$(BIN)/python -m properties --threads 1 --impl 'impl:factory?forward=certified&self_check=true'
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
	rm -rf .venv .asv .hypothesis .mypy_cache .ruff_cache build *.egg-info results impl/*/__pycache__

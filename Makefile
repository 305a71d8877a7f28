# Every target sets up .venv first; scripts/setup.sh does nothing when it is up to date.
BIN := .venv/bin
FAST := not slow
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.PHONY: quickstart test test-full lint bench chaos docs setup setup-dev setup-docs setup-full

quickstart: setup
	$(BIN)/vsre run configs/quickstart.yaml

test: setup-dev
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -q -n 2 -m "$(FAST)"

test-full: setup-full
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -q -n 2

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-dev
	for file in benchmarks/[!_]*.py; do $(BIN)/python $$file --quick || exit 1; done

chaos: setup-dev
	$(BIN)/python -m tests.chaos

docs: setup-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

setup:
	@scripts/setup.sh

setup-dev:
	@scripts/setup.sh dev

setup-docs:
	@scripts/setup.sh docs

setup-full:
	@scripts/setup.sh full

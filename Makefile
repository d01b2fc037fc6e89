# make train: the environment from exact versions, then the whole job. make test: the tests. make test-slow: the rest.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-slow lint lock clean

train: .venv/installed
	$(BIN)/heart train

test: .venv/installed
	$(BIN)/python -m pytest

# Whole programs, servers, clusters and a browser: a quarter of an hour.
test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	"Python %s.%s: expected 3.11, 3.12 or 3.13. Name one: make train PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	touch $@

# For who changes the dependencies; needs uv. The newest versions that pyproject.toml allows.
lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade \
		--extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv

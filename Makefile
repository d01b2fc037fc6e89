# make train: installs exact versions, then runs the whole job. make test: the tests. make test-slow: the slow tests.
# make test-docker: docker-compose.yml on a container engine.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-slow test-docker lint lock clean

train: .venv/installed
	$(BIN)/heart train

# Three processes on two cores, because tests also wait; each takes the next test when it has none left. A fourth would
# import everything once more, which takes longer than it saves.
test: .venv/installed
	$(BIN)/python -m pytest -n 3 --dist worksteal

# Whole programs, servers, clusters and a browser. They also wait, so three run on two cores; with five, each would
# compute half as much again, because each process has to warm up. The tests of a file stay in one process, because they
# share a server or a training; tests/conftest.py puts the longest files first.
test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow -n 3 --dist loadfile --no-loadscope-reorder --durations 20

# Builds the image, and starts, kills, stops, backs up and restores the stack. It is skipped if no engine answers.
test-docker: .venv/installed
	$(BIN)/python -m pytest -m docker --durations 20 tests/servers/test_docker.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	"Python %s.%s: expected 3.11, 3.12 or 3.13. Name one: make train PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile -r requirements.lock
	$(BIN)/python -m compileall -q -j 0 -x /tests/ .venv/lib  # on all cores, where pip uses one; not the libraries' tests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	touch $@

# The secrets of docker-compose.yml, drawn once, readable by the owner only. COMPOSE_PROFILES: a cpu or gpu worker.
.env:
	umask 077; (echo COMPOSE_PROFILES=cpu; for name in $$(grep -oE '\$$\{[A-Z_]+(PASSWORD|KEY|TOKEN):' docker-compose.yml \
		| tr -d '$${:' | sort -u); do echo $$name=$$(openssl rand -hex 24); done) > $@

# For people who change the dependencies; needs uv. Every file gets the newest versions that pyproject.toml allows.
COMPILE := uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml
lock:
	$(COMPILE) --upgrade --extra dev -o requirements.lock
	$(COMPILE) --constraints requirements.lock --extra server -o server.lock
	$(COMPILE) --constraints requirements.lock --extra server --extra gpu -o gpu.lock

clean:
	rm -rf .venv

# Everything is done with the environment in .venv, which `make setup` builds from hashed pins.
# A target's comment is its help. Stamps in .venv make a second call do nothing.

PYTHON ?= python3
# Tests that run side by side: twice as many as two processors can do, because they often wait.
JOBS ?= 4
# Extra arguments: `make test ARGS='-k handshake'`, `make run ARGS='--port 0'`.
ARGS ?=

BIN := .venv/bin
SETUP := .venv/.setup-done
UI_DEPS := ui/node_modules/.install-done
CLIENT_DEPS := tests/e2e/js/node_modules/.install-done
# The browser tests take the Chromium of this machine; where there is none, one comes from npm.
HAS_CHROMIUM := $(strip $(PORTICO_TEST_CHROMIUM) $(foreach name,chromium chromium-browser google-chrome \
	google-chrome-stable chrome,$(shell command -v $(name))))
BROWSER_DEPS := $(if $(HAS_CHROMIUM),,tests/e2e/browser/node_modules/.install-done)
UI_SOURCES := $(shell find ui -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
UI_BUILT := $(if $(wildcard ui/package.json),src/portico/web/static/index.html)
UNITS := src tests $(wildcard benchmarks) $(wildcard scripts/*.py)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# No tool of ours asks, colours a log file or writes outside the tree.
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore
export npm_config_update_notifier := false
export npm_config_fund := false
export npm_config_audit := false

# What runs again and again is compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

# npm would make a folder called "~" where there is no home.
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/.venv/home
endif

.DEFAULT_GOAL := help
.PHONY: help setup run test check types e2e crash bench soak lock verify ui ui-test wheel container clean
.DELETE_ON_ERROR:

help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1	/' \
		| while IFS='	' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: $(SETUP) ## Build the environment in .venv (does nothing when it is current)

$(SETUP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Portico needs Python 3.11 or newer; say which: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

run: setup ui ## Start the gateway on 127.0.0.1:18789 and print the link to its page
	@$(BIN)/portico run $(ARGS)

test: setup ## Everything CI runs: static checks, then all tests but crash and bench
	@$(MAKE) --no-print-directory -j2 check ui $(CLIENT_DEPS) $(BROWSER_DEPS)
	PORTICO_REQUIRE_CLIENTS=1 $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check: setup ## Static checks: ruff, mypy --strict, layers, spelling
	$(BIN)/ruff check $(UNITS)
	$(BIN)/ruff format --check $(UNITS)
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo
	$(BIN)/codespell

format: setup ## Let ruff put the code in order
	$(BIN)/ruff check --fix-only --quiet $(UNITS)
	$(BIN)/ruff format $(UNITS)

e2e: setup ui $(CLIENT_DEPS) $(BROWSER_DEPS) ## Only the tests with real processes, sockets, browser and JavaScript clients
	PORTICO_REQUIRE_CLIENTS=1 $(BIN)/python -m pytest -n $(JOBS) tests/e2e $(ARGS)

crash: setup ## Kill -9 with 1,000 messages in flight, 20 rounds: nothing lost, doubled or out of order
	$(BIN)/python -m pytest -n 0 -m crash --timeout 0 tests/crash $(ARGS)

bench: setup ui ## Measure; each figure also as a ratio to a bare echo server
	$(BIN)/python -m benchmarks $(ARGS)

soak: setup ui ## Answer 100,000 messages of a channel; what grows
	$(BIN)/python -m benchmarks soak $(ARGS)

lock: setup ## Pin the newest allowed versions with hashes, without index addresses
	$(COMPILE) pyproject.toml --output-file requirements/base.txt
	$(COMPILE) pyproject.toml requirements/dev.in --constraints requirements/base.txt \
		--output-file requirements/dev.txt
COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock" --no-annotate --no-emit-index-url --no-emit-find-links

verify: check wheel ## Is what we ship consistent: pins against pyproject, imports against both, wheel
	$(BIN)/python -m pip check
	$(BIN)/deptry src
	$(BIN)/portico config schema --format markdown | diff -u docs/config.md -

ui: $(UI_BUILT) ## Build the web page into the package

$(UI_DEPS): ui/package.json ui/package-lock.json | $(SETUP)
	cd ui && ../scripts/with-node npm ci --no-progress --loglevel=error
	@touch $@

# The newest Node is in the environment; the published client asks for 22.19.
tests/e2e/%/node_modules/.install-done: tests/e2e/%/package.json tests/e2e/%/package-lock.json | $(SETUP)
	cd tests/e2e/$* && PATH=$(CURDIR)/$(BIN):$$PATH npm ci --no-progress --loglevel=error
	@touch $@

src/portico/web/static/index.html: $(UI_SOURCES) | $(UI_DEPS)
	cd ui && ../scripts/with-node npm run build --silent
	@touch $@

ui-test: $(UI_DEPS) ## The page's own tests
	cd ui && ../scripts/with-node npm test --silent

wheel: setup ui ## Build a wheel with the page in it, into dist/
	$(BIN)/python -m hatchling build -t wheel

# Of whatever builds images here. `make container ARGS='--build-arg EXTRAS=agent,postgres'`.
CONTAINERS ?= $(firstword $(foreach name,podman docker,$(shell command -v $(name))))

container: wheel ## Build a container image, portico:latest
	$(CONTAINERS) build $(if $(findstring podman,$(CONTAINERS)),--format docker) \
		--file Containerfile --tag portico:latest $(ARGS) .

clean: ## Remove what was built and cached, and the environment
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf ui/node_modules tests/e2e/*/node_modules src/portico/web/static
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# `make help` lists what there is. Needs make and Python 3.11 or later; the tests on real servers also need Go 1.26,
# Java 17 and Maven (or a Docker engine in place of these two). Everything else is set up here: uv, if it is not there, comes from pip.

SHELL := /bin/bash
.DEFAULT_GOAL := help

TOOLS := build/tools
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/bin/uv)
RUN := $(UV) run --no-sync
TESTS_ON_PATH := PYTHONPATH=tests
# Two processes, each with servers of its own. The tests of a file stay together: they share an installation.
ON_SERVERS := --numprocesses 2 --dist loadfile

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(UV) ## install everything that the lock file names into .venv
	@$(UV) sync --locked --quiet

$(TOOLS)/bin/uv: # into a folder of our own: systems refuse what pip would do to theirs, and some have no pip at all
	python3 -m pip install --quiet --target $(TOOLS) uv || \
		(python3 -m venv --clear $(TOOLS) && $(TOOLS)/bin/python -m pip install --quiet uv)

.PHONY: demo
demo: setup ## the main job on this machine with nothing but Python: events become runs
	$(RUN) flowbridge dev --once

.PHONY: lint
lint: setup ## ruff, mypy, the layers
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) mypy tests
	$(RUN) lint-imports

ONLY ?=
.PHONY: test
test: lint ## lint, and all tests but test-integrations; make test ONLY=tests/unit/core for some of them
ifeq ($(ONLY),)
	$(RUN) pytest --numprocesses auto -m "not servers"
	$(RUN) pytest $(ON_SERVERS) -m "servers and not integrations"
else
	$(RUN) pytest $(ONLY)
endif

.PHONY: test-integrations
test-integrations: setup ## the tests with Argo's own code, Metaflow, Prometheus, Spark, Flink and the like, which take large builds
	$(RUN) pytest -m integrations

.PHONY: quick
quick: setup ## the tests that need no servers
	FLOWBRIDGE_TEST_SERVERS=off $(RUN) pytest --numprocesses auto

SEEDS ?= 20000

.PHONY: soak
soak: setup ## simulated worlds in which everything breaks: make soak SEEDS=20000
	$(TESTS_ON_PATH) $(RUN) python -m simulation --seeds $(SEEDS)

.PHONY: bench
bench: setup ## speeds, latencies and memory, measured on real servers; make bench COMPARE=main for two revisions
	$(TESTS_ON_PATH) $(RUN) python -m bench $(if $(COMPARE),--compare $(COMPARE))

.PHONY: bench-peers
bench-peers: setup ## Quix Streams and Bytewax next to Flowbridge: the same jobs on the same broker
	$(TESTS_ON_PATH) $(RUN) python -m bench --only peers

.PHONY: cluster-up
cluster-up: setup ## start Kafka and a Kubernetes API server for you, with ARGO=1 also Argo's controller; print the settings to use
	@$(TESTS_ON_PATH) $(RUN) python -m servers up $(if $(ARGO),--argo)

.PHONY: cluster-down
cluster-down: setup ## stop them again and remove their data
	@$(TESTS_ON_PATH) $(RUN) python -m servers down

.PHONY: docs
docs: setup ## write docs/settings.md anew from the settings' code
	$(RUN) python -m bridge.cli.settings_page > docs/settings.md.new && mv docs/settings.md.new docs/settings.md

.PHONY: drawings
drawings: setup ## draw the timelines in docs/triggers and the table of a run's life again from the rules
	$(TESTS_ON_PATH) $(RUN) python -m drawings

.PHONY: wheels
wheels: setup ## build both distributions into dist/
	$(UV) build --all-packages --out-dir dist

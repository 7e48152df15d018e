# The only entry point. `make help` prints every target with what it does.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
MEMBERS := $(patsubst %/pyproject.toml,%,$(sort $(wildcard libs/*/pyproject.toml \
           services/*/pyproject.toml))) deploy
READY := $(VENV)/.ready
# Two workers for each processor, for tests wait more than they compute; TEST_ARGS=-n0 debugs one test.
WORKERS := -n $(shell echo $$((2 * $$(nproc))))
PYTEST := $(PY) -m pytest $(WORKERS)

.PHONY: help
help:  ## print this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock $(MEMBERS:%=%/pyproject.toml)
	@bash deploy/setup.sh $(VENV) $(MEMBERS)
	@touch $@

.PHONY: setup
setup: $(READY)  ## make the virtual environment from requirements.lock, of PYTHON (python3)

.PHONY: fmt
fmt: $(READY)  ## format and fix what ruff can fix
	$(VENV)/bin/ruff check --fix-only --quiet . && $(VENV)/bin/ruff format .

.PHONY: check
check: $(READY)  ## formatting, lint, types, import rules
	$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	mkdir -p .local && $(PY) -m stack.import_rules > .local/import-rules.toml
	$(VENV)/bin/lint-imports --config .local/import-rules.toml

# NACOS=host:port uses a Nacos of yours; CLUSTER=3 starts three of one cluster; MODELS=0 starts the
# gateway alone, MODELS=1 each model once. OBSERVE=1 starts Prometheus too, and Grafana where its image
# is to be had.
UP := up $(if $(NACOS),--nacos $(NACOS)) $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(MODELS),--models $(MODELS)) \
  $(if $(filter 1,$(OBSERVE)),--observe)

.PHONY: up
up: $(READY)  ## start everything, in containers where they can be had, else as processes
	@$(PY) -m stack $(UP)

.PHONY: up-docker
up-docker: $(READY)  ## start everything in containers
	@$(PY) -m stack $(UP) --mode docker

.PHONY: up-local
up-local: $(READY)  ## start everything as processes of this machine
	@$(PY) -m stack $(UP) --mode local

.PHONY: images
images: $(READY)  ## build the images of the services, and start nothing
	@$(PY) -m stack images

.PHONY: swarm-stack
swarm-stack: $(READY)  ## print the Compose file for Docker Swarm: `make swarm-stack | docker stack deploy -c - modelserve`
	@$(PY) -m stack.swarm $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(PORTS),--ports $(PORTS))

.PHONY: down
down: $(READY)  ## stop everything
	@$(PY) -m stack down

.PHONY: logs
logs: $(READY)  ## show what every part printed last, and follow
	@$(PY) -m stack logs

.PHONY: status
status: $(READY)  ## show what runs
	@$(PY) -m stack status

NAMED = $(if $(NAME),,$(error set NAME, for example NAME=iris))

.PHONY: new-service
new-service: $(READY)  ## write a model service NAME; FROM=module:function makes it of yours
	@$(NAMED)$(PY) -m stack new-service '$(NAME)' --uv '$(UV)' $(if $(FROM),--from '$(FROM)') $(if $(filter command,$(firstword $(origin PORT))),--port '$(PORT)')
	@touch $(READY)

.PHONY: check-service
check-service: $(READY)  ## run the tests of conformance, and its own, on the model service NAME
	@$(NAMED)$(PY) -m stack check-service '$(NAME)' -n $$(nproc) -m "not slow" $(TEST_ARGS)

.PHONY: remove-service
remove-service: $(READY)  ## take the model service NAME away, with all that is known of it
	@$(NAMED)$(PY) -m stack remove-service '$(NAME)'
	@VIRTUAL_ENV=$(VENV) $(UV) pip uninstall --quiet modelserve-$(NAME)

.PHONY: test
test: $(READY)  ## unit, contract, integration and, where a Docker engine answers, container tests
	$(PYTEST) --ignore=tests/interop -m "not slow and not outage" $(TEST_ARGS)

.PHONY: test-outages
test-outages: $(READY)  ## Nacos and providers frozen, killed, cut off, refused, for tens of seconds each
	$(PYTEST) --ignore=tests/interop -m "outage and not slow" $(TEST_ARGS)

.PHONY: test-slow
test-slow: $(READY)  ## the long forms: more examples, more changes, longer outages
	$(PYTEST) --ignore=tests/interop -m "slow and not ranges" $(TEST_ARGS)

.PHONY: test-ranges
test-ranges: $(READY)  ## every distribution at both ends of the versions it allows, on each Python here
	$(PYTEST) tests/ranges -m ranges $(TEST_ARGS)

.PHONY: test-unit
test-unit: $(READY)  ## only the tests beside the packages: no Nacos, no network
	$(PYTEST) libs services deploy tests/architecture $(TEST_ARGS)

.PHONY: test-nacos
test-nacos: $(READY)  ## what depends on Nacos' version: NACOS_VERSION=3.1 (default) or 2.3.2
	$(PYTEST) tests/contract tests/integration tests/docs/test_operations.py -k "not scale and not signed" \
	  -m "nacos and not slow" $(TEST_ARGS)

.PHONY: test-nacos-versions
test-nacos-versions: $(READY)  ## every version of Nacos that can be had, real or in memory; writes docs/nacos-versions.md
	$(PY) -m tests.nacos_versions $(WORKERS) $(TEST_ARGS)

.PHONY: test-contract
test-contract: $(READY)  ## the contract suite, on the server NACOS_SERVER_ADDR if it is set
	$(PYTEST) tests/contract -m nacos $(TEST_ARGS)

.PHONY: engine
engine: $(READY)  ## install a Docker engine and base images on Debian or Ubuntu (as root)
	@bash deploy/engine.sh

.PHONY: console-pictures
console-pictures: $(READY)  ## take the pictures of docs/console.md, by the test of the page in Chromium
	@mkdir -p docs/console
	SCREENSHOTS=docs/console $(PY) -m pytest services/gateway/tests/test_console_browser.py $(TEST_ARGS)

.PHONY: environment-page
environment-page: $(READY)  ## write docs/environment.md from the settings
	@page=$$($(PY) -m stack.environment) && echo "$$page" > docs/environment.md

.PHONY: lock
lock:  ## resolve requirements.lock again (universal, hashes, no index address)
	$(UV) pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --quiet \
	  $$(awk -F'"' '/^name/{print "--no-emit-package " $$2}' $(MEMBERS:%=%/pyproject.toml)) \
	  $(MEMBERS:%=%/pyproject.toml) pyproject.toml --group dev -o requirements.lock

include deploy/kubernetes/kubernetes.mk deploy/observe/observe.mk libs/model_pkg/model.mk services/gateway/compiled.mk deploy/release.mk deploy/postman/postman.mk $(wildcard benchmarks/*/bench.mk) tests/interop/interop.mk libs/service_conformance/v2.mk

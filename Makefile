# opa-authz: `make run` starts it, `make test` proves it, `make demo` shows it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILED := policies/compiled/policy.compiled
# The data of the policies' tests. It is a prerequisite of .dev, so every target that needs .dev has it.
POLICY_DATA := policies/docker/authz/examples/data.json policies/docker/authz/profiles/data.json
WORKERS := $(shell nproc)
PYTEST := $(BIN)/pytest
UNIT_PYTEST = $(PYTEST)
COVERED := 91

# The tests start many short processes: Go programs (OPA, dockerd) need not save memory, and Python
# keeps what it has compiled.
test quick unit rego real check: export GOGC ?= 400
# There are as many workers as cores: a Go program that looks for work on all cores only wakes the others.
test unit real: export GOMAXPROCS ?= 1
test quick unit rego real bench check: export PYTHONPYCACHEPREFIX ?= $(CURDIR)/.cache/pycache
test quick unit rego real bench check: export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run demo quick test unit rego real bench fuzz adversary same-decisions soak deb deb-test image image-test ansible-test fleet-scale audit engines check fmt generate vendor lock clean

help: ## Show what can be made
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: $(BIN)/.run $(POLICY_DATA) $(COMPILED) ## Start the plugin in the foreground (ARGS="--profile devcontainer")
	$(BIN)/opa-authz serve $(ARGS)

demo: $(BIN)/.dev $(BIN)/opa ## Guard a scratch dockerd and show what is refused (needs root)
	$(BIN)/python -m tests.demo $(ARGS)

test: $(BIN)/.dev $(BIN)/opa ## Run every test, and measure how much of the plugin those without dockerd reach
	rm -rf .cache/coverage && mkdir -p .cache/coverage
	$(MAKE) --no-print-directory -j2 --output-sync=line UNIT_PYTEST="$(BIN)/coverage run -m pytest" unit-and-rego real
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --precision=1 --fail-under=$(COVERED)

quick: $(BIN)/.dev $(BIN)/opa ## What can be known in two minutes: style, types, layers, policies, pure parts
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports > /dev/null
	$(BIN)/opa fmt --list --fail policies authz_plugin/uploads
	$(BIN)/opa check --strict --schema policies/schemas policies/docker
	$(BIN)/opa check --strict authz_plugin/uploads
	$(BIN)/opa test --bundle policies
	$(PYTEST) -q -n $(WORKERS) --dist worksteal $(PURE)
# What starts no process and waits for nothing.
PURE := tests/dockerd tests/test_annotations.py tests/test_api_versions.py tests/test_caller.py tests/test_decision.py \
	tests/test_document.py tests/test_enginestate.py tests/test_generated.py tests/test_hostpaths.py \
	tests/test_ledger.py tests/test_newest.py tests/test_policy.py tests/test_protocol.py \
	tests/test_settings.py

.PHONY: unit-and-rego
unit-and-rego: rego unit

unit: $(BIN)/.dev $(BIN)/opa $(BIN)/regal ## Run the tests that need no dockerd
	$(UNIT_PYTEST) --ignore=tests/real -n $(WORKERS) --dist worksteal $(ARGS)

rego: $(BIN)/.dev $(BIN)/opa ## Run the policies' own tests, with coverage
	$(BIN)/opa test --bundle policies
	$(BIN)/opa test --bundle policies --coverage --format json | $(BIN)/python -m tests.uncovered
	$(BIN)/opa test authz_plugin/uploads --coverage --format json | $(BIN)/python -m tests.uncovered

real: $(BIN)/.dev $(BIN)/opa ## Run the tests with real dockerds (needs root)
	$(PYTEST) tests/real -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

bench: $(BIN)/.dev $(BIN)/opa ## Measure the plugin beside a Go plugin with OPA inside (needs Go)
	$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(BIN)/.dev ## An hour of bodies, read by us and by Docker's own types (needs Go; ARGS="--minutes 5")
	$(BIN)/python -m tests.oracle $(ARGS)

adversary: $(BIN)/.dev $(BIN)/opa ## Have each profile deny every denied request however it is written (ARGS="--minutes 5")
	$(BIN)/python -m tests.adversary $(ARGS)

same-decisions: $(BIN)/.dev $(BIN)/opa ## Have the embedded engine and OPA's server decide on a million documents (ARGS="--documents 10000")
	GOGC=400 $(BIN)/python -m tests.same_decisions $(ARGS)

soak: $(BIN)/.dev $(BIN)/opa ## An hour of mixed load on a guarded dockerd (needs root; ARGS="--minutes 5")
	$(BIN)/python -m tests.soak $(ARGS)

deb: $(BIN)/.dev $(BIN)/opa ## Make the Debian package, in dist/ (ARGS="--suite trixie")
	@$(BIN)/python -m tools.debian_package $(ARGS)

deb-test: $(BIN)/.dev $(BIN)/opa ## Install, upgrade and purge the package in a clean Debian with systemd (needs root)
	$(PYTEST) tests/installed/debian.py $(ARGS)

fleet-scale: $(BIN)/.dev $(BIN)/opa ## Measure 50 OPAs on nginx and a registry, and write what that means for many (ARGS="--hosts 5")
	$(BIN)/python -m tests.fleet_scale $(ARGS)

ansible-test: $(BIN)/.dev $(BIN)/opa ## Check the Ansible role, and run it in a clean Debian with systemd (needs root)
	$(PYTHON) -m venv .cache/ansible-lint
	.cache/ansible-lint/bin/pip install --quiet ansible-lint==26.10.1
	rm -rf .cache/ansible && cp -r deploy/ansible .cache/ansible # the linter writes to where it reads
	cd .cache/ansible && PATH="$(CURDIR)/.cache/ansible-lint/bin:$$PATH" ansible-lint --offline --project-dir .
	$(PYTEST) tests/installed/ansible_role.py $(ARGS)

engines: $(BIN)/.dev $(BIN)/opa ## Print what the newest Docker has that is not known here (needs Go and the module proxy)
	$(BIN)/python -m tests.newest $(ARGS)

image: $(BIN)/.dev $(BIN)/opa ## Make the container image, with a bill of materials (needs Docker)
	@$(BIN)/python -m tools.container_image $(ARGS)

image-test: $(BIN)/.dev $(BIN)/opa ## Build the image on a scratch dockerd and guard another one with it (needs root)
	$(PYTEST) tests/installed/container.py $(ARGS)

audit: ## Look the pinned dependencies up for known weaknesses (needs PyPI's advisories)
	$(PYTHON) -m venv .cache/pip-audit
	.cache/pip-audit/bin/pip install --quiet pip-audit
	.cache/pip-audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/run.txt
	.cache/pip-audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/dev.txt

check: $(BIN)/.dev $(BIN)/opa $(BIN)/regal ## Check style, types, layers, policies and generated files
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/opa fmt --list --fail policies authz_plugin/uploads
	$(BIN)/opa check --strict --schema policies/schemas policies/docker
	$(BIN)/opa check --strict authz_plugin/uploads
	$(BIN)/regal lint policies authz_plugin/uploads
	$(BIN)/python -m tests.generate --check

fmt: $(BIN)/.dev $(BIN)/opa ## Format Python and Rego
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/opa fmt --write policies authz_plugin/uploads

# rules.json comes first: the plugin, and with it what makes POLICY_DATA, reads it.
generate: $(BIN)/.run $(BIN)/opa ## Write the files that are made from others
	$(BIN)/python -m tests.generate.annotations
	$(MAKE) --no-print-directory generated

.PHONY: generated
generated: $(BIN)/.dev
	$(BIN)/python -m tests.generate

vendor: $(BIN)/.dev ## Fetch the scripts of others that the console serves, as they are pinned (needs npm's registry)
	$(BIN)/python -m tools.vendor

lock: ## Pin every dependency, with hashes
	$(PYTHON) -m venv .cache/pip-tools
	.cache/pip-tools/bin/pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" .cache/pip-tools/bin/pip-compile $(LOCK) -o requirements/run.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" .cache/pip-tools/bin/pip-compile $(LOCK) --extra dev -o requirements/dev.txt pyproject.toml
LOCK := --quiet --no-emit-find-links --no-emit-index-url --strip-extras --allow-unsafe --generate-hashes --build-deps-for editable

clean: ## Remove what was installed, downloaded and made
	rm -rf $(VENV) .cache $(POLICY_DATA) policies/compiled

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --require-hashes -r requirements/run.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(BIN)/.dev: requirements/dev.txt $(BIN)/.run | $(POLICY_DATA) $(COMPILED)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	touch $@

$(POLICY_DATA) &: tools/policy_data.py policies/schemas/config.json $(wildcard policies/profiles/*.yaml) \
		$(shell find authz_plugin \( -name '*.py' -o -name '*.json' \) -not -path '*/tools/*') | $(BIN)/.run
	$(BIN)/python -m tools.policy_data

$(COMPILED): tools/compiled_policies.py authz_plugin/tools/rule_sources.py $(addprefix authz_plugin/engine/,binary.py builtins.py compiled.py dependencies.py projection.py strict_errors.py) \
		$(shell find policies/docker -name '*.rego' -not -name '*_test.rego') | $(BIN)/.run $(BIN)/opa
	$(BIN)/python -m tools.compiled_policies

$(BIN)/opa: authz_plugin/engine/binary.py | $(BIN)/.run
	$(BIN)/opa-authz install-opa --into $(BIN)
	touch $@

$(BIN)/regal: tools/regal/go.mod
	cd tools/regal && GOBIN=$(abspath $(BIN)) go install tool

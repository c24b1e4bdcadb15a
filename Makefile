# `make demo` and `make test` are all that a newcomer needs; both set up what is missing, also on a bare Debian 12.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-all bench wheel wheelhouse setup lint fix clean

VENV := .venv/bin
# Passed on to nox: make test SESSIONS="unit types", make unit ARGS="-k digest"
SESSIONS :=
ARGS :=

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  make SESSION      one check: $(ONE)  (ARGS="..." is passed on)'

demo: setup ## the main job on this machine, start to end
	@$(VENV)/nox -s demo -- $(ARGS)

test: setup ## every check that a change must pass
	@$(VENV)/python scripts/check.py $(SESSIONS)

test-all: export PLUGIND_NIGHTLY := 1
test-all: setup ## that, and what runs nightly: slow tests, newer Pythons and ansible-cores, coverage, molecule
	@$(VENV)/python scripts/check.py --nightly

bench: setup ## side by side with dockerd and community.docker
	@$(VENV)/nox -s bench -- $(ARGS)

wheel: ## build the agent's wheel into roles/agent/files
	@scripts/setup.sh venv
	@$(VENV)/python scripts/build_wheel.py

wheelhouse: wheel ## that, and all that it depends on, into roles/agent/files/wheelhouse, for hosts without a package index
	@$(VENV)/python -m pip download --disable-pip-version-check --only-binary=:all: \
	    --dest roles/agent/files/wheelhouse $(ARGS) roles/agent/files/plugind-*.whl

setup: ## Debian packages, .venv, wheel, collection path; fast when all is there
	@scripts/setup.sh

lint: setup ## the quick checks: format, lint, types, floors, shape, YAML
	@$(VENV)/nox -s lint types floors shape yaml

fix: ## format, and mend what can be mended
	@$(VENV)/nox -s fix -- $(ARGS)

# One check by its name.
ONE := types floors shape mirror licences spelling shell yaml ansible_lint changelog docs docsite galaxy \
       unit contract functional system collection_unit integration sanity units fleet fleet_20 molecule coverage
.PHONY: $(ONE)
$(ONE): setup
	@$(VENV)/nox -s $@ -- $(ARGS)

clean: ## remove all that was made here (not the Debian packages)
	rm -rf .venv .build .ansible .nox .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
	    agent/.hypothesis agent/.mypy_cache agent/.pytest_cache agent/.ruff_cache tests/output collections \
	    roles/agent/files/*.whl roles/agent/files/wheelhouse .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

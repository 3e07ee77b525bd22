# `make help` lists what there is. Needs Python 3.11 or newer with its venv module; everything else is installed into
# .venv (to run hbd) and .venv-test (to work on it), from pinned and hash-checked packages.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run install test lint unit process browser bench pins clean

ARGS ?=
IN_TEST := .venv-test/bin/
PYTEST := $(IN_TEST)python -m pytest
SOURCES := pyproject.toml README.md LICENSE $(wildcard config_example.yaml hbd/*.py hbd/*/*.py hbd/*/*/*.py hbd/*/*/*.sql \
	hbc/*.py hbc/*/*.py static static/* static/*/* static/*/*/*)

# $(call environment,FOLDER,REQUIREMENTS): a fresh virtual environment with these requirements
define environment
	@python=$$(sh tools/find-python) && echo "Making $(1) with $$python (this takes a minute, once) …" \
		&& "$$python" -m venv --clear $(1)
	@$(1)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(2)
	@touch $@
endef

# $(call project,FOLDER,OPTIONS): hbd itself, built with the pinned backend of that environment
define project
	@$(1)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --force-reinstall $(2) .
	@touch $@
endef

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

run: .venv/.project ## start hbd with an agent for this machine; options in ARGS, e.g. ARGS="-c my.yaml"
	@exec .venv/bin/hbd run --with-agent $(ARGS)

install: .venv/.project ## install hbd and hbc into .venv

test: lint unit process browser ## run everything that CI runs

lint: .venv-test/.project ## style, types and import rules
	$(IN_TEST)ruff check .
	$(IN_TEST)ruff format --check .
	$(IN_TEST)mypy
	$(IN_TEST)lint-imports

unit: .venv-test/.project ## unit, API, contract, attack and fault tests
	$(PYTEST) -n 2 tests/unit tests/api tests/contract tests/attack tests/fault $(ARGS)

process: .venv-test/.project ## tests with real hbd and hbc processes
	@sh tools/find-programs bash busybox curl dash jq prometheus prometheus-alertmanager shellcheck victoria-metrics \
		/usr/sbin/sshd=openssh-server ssh-keygen=openssh-client systemd-analyze=systemd \
		mount unshare=util-linux nsenter=util-linux \
		prometheus-node-exporter glances /usr/lib/python3/dist-packages/influxdb=python3-influxdb \
		/usr/lib/nagios/plugins/check_dummy=monitoring-plugins-basic
	$(PYTEST) tests/process $(ARGS)

browser: .venv-test/.project ## tests in a real browser
	@chromium=$$(sh tools/find-chromium) && export HBD_TEST_CHROMIUM="$$chromium" \
		&& echo "$(PYTEST) tests/browser $(ARGS)" && $(PYTEST) tests/browser $(ARGS)

bench: .venv-test/.project ## what things cost, and 1,000 virtual agents on a daemon for two minutes; takes ARGS of load.py
	@for script in tests/bench/bench_*.py; do echo "# $$script"; $(IN_TEST)python $$script || exit 1; done
	@echo "# tests/bench/load.py" && $(IN_TEST)python tests/bench/load.py $(ARGS)

pins: ## renew requirements/*.txt to the newest versions
	@python=$$(sh tools/find-python) && "$$python" -m venv --clear .venv-pins
	@.venv-pins/bin/python -m pip --disable-pip-version-check install --quiet uv
	@for name in run test; do \
		extra="--extra oidc"; [ $$name = run ] || extra="$$extra --extra test --constraint requirements/run.txt"; \
		.venv-pins/bin/uv pip compile pyproject.toml requirements/build.in $$extra --upgrade --quiet --universal \
			--python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
			--custom-compile-command "make pins" --output-file requirements/$$name.txt || exit 1; \
	done
	@rm -rf .venv-pins

clean: ## remove what the commands above have made, virtual environments too
	rm -rf .venv .venv-test .venv-pins .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist

.venv/.packages: requirements/run.txt
	$(call environment,.venv,requirements/run.txt)

.venv/.project: .venv/.packages $(SOURCES)
	$(call project,.venv,)

.venv-test/.packages: requirements/test.txt
	$(call environment,.venv-test,requirements/test.txt)

.venv-test/.project: .venv-test/.packages pyproject.toml
	$(call project,.venv-test,--editable)

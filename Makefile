# make run         the demo
# make test        every test
# make check       style, the import rule and types, ours and those that users see
# make completion  what shells complete, anew from the parsers of the commands
# make clean       removes everything that the others made

PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet
# Fails unless every public name has a type. None of its options says which Python
# has the packages: it asks the one on PATH.
VERIFY_TYPES = PATH=$(CURDIR)/.venv/bin:$$PATH \
    basedpyright --verifytypes txtransport --ignoreexternal

.PHONY: run test check completion clean

run: .venv/.installed
	.venv/bin/python -m txtransport demo

# Twice, since both runners are Twisted's users' own. pytest comes last: its
# closing line counts the tests, and fails below 95 % of branches (setup.cfg).
test: .venv/.installed
	.venv/bin/python -m twisted.trial --reporter=text tests
	.venv/bin/python -m pytest --cov

check: .venv/.installed-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports --no-cache
	.venv/bin/mypy
	.venv/bin/basedpyright --pythonpath .venv/bin/python --project tests/typing
	@found=$$($(VERIFY_TYPES)) || { echo "$$found"; exit 1; }; echo "$$found" | grep score

completion: .venv/.installed-dev
	.venv/bin/python docs/completion.py

.venv/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) install --editable '.[test,legacy]'
	touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) install --editable '.[test,legacy,dev]'
	touch $@

clean:
	rm -rf .venv .nox build dist txtransport.egg-info _trial_temp* .coverage .coverage.* \
	    .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache twisted/plugins/dropin.cache
	find txtransport twisted tests -name __pycache__ -prune -exec rm -rf {} +

# Every target sets up what it needs in .venv, with nothing but python3 and make.
#   make demo [DATA=folder] [BACKBONE=name]   the main job, offline; without DATA on synthetic steel
#   make test                                 the whole suite
#   make check                                style, types, layers
#   make bench                                the tables in benchmarks/results (needs MILLSCALE_DATA and _WEIGHTS)
#   make docs                                 docs/cli.md, and the pictures and tables of the README
#   make backbone | bundle                    what ships inside the package (needs MILLSCALE_DATA and _WEIGHTS)

PYTHON ?= python3
LEARN := .venv/learn
DEV := .venv/dev

.PHONY: demo test check bench docs backbone bundle lock clean
.DEFAULT_GOAL := demo

# The installed marker is newer than the files that decide what is installed.
%/installed: pyproject.toml
	$(PYTHON) -m venv --clear $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	VIRTUAL_ENV=$(CURDIR)/$* $*/bin/uv pip install --quiet --compile-bytecode -r requirements/$(notdir $*).txt
	VIRTUAL_ENV=$(CURDIR)/$* $*/bin/uv pip install --quiet --no-deps --editable .
	touch $@

$(LEARN)/installed: requirements/learn.txt
$(DEV)/installed: requirements/dev.txt

demo: $(LEARN)/installed
	$(LEARN)/bin/millscale demo $(if $(DATA),--data "$(DATA)") $(if $(BACKBONE),--backbone "$(BACKBONE)")

test: $(DEV)/installed
	$(DEV)/bin/python -m pytest -n 2

check: $(DEV)/installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

bench: $(DEV)/installed
	$(DEV)/bin/python -m benchmarks

docs: $(DEV)/installed
	$(DEV)/bin/python scripts/cli_docs.py
	$(DEV)/bin/python scripts/pictures.py
	$(DEV)/bin/python scripts/readme_tables.py

backbone: $(DEV)/installed
	$(DEV)/bin/python scripts/backbone.py

bundle: $(DEV)/installed
	$(DEV)/bin/python scripts/neu_bundle.py

lock: $(DEV)/installed
	$(DEV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate pyproject.toml --extra learn -o requirements/learn.txt
	$(DEV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate pyproject.toml --extra all --group dev -o requirements/dev.txt

clean:
	rm -rf .venv demo runs evaluations .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

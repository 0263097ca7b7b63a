# `make serve` and `make test` need nothing but python3 (3.11 or later), its venv module and a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROCESSES ?= 3

# swhttp/adapters is a link to adapters.
SOURCES := $(wildcard swhttp/*/*.pyx swhttp/*/*.pxd swhttp/*/*.pxi swhttp/*/*.h)
CYTHON := $(filter %.pyx %.pxd,$(SOURCES))

.PHONY: help serve build test differential soak lint docs model bench bench-gate clean

help:
	@echo "make serve       serve examples/flask_app.py at http://127.0.0.1:8000"
	@echo "make test        run the tests"
	@echo "make differential  20,000 requests against h11 (minutes)"
	@echo "make soak        workers reloaded, replaced, killed and gone wild; slow clients; narrow memory (half an hour)"
	@echo "make lint        ruff, mypy --strict, cython-lint"
	@echo "make docs        write docs/options.md and docs/limits.md"
	@echo "make model       check the wake-up protocol with spin"
	@echo "make bench       compare with other servers (long)"
	@echo "make bench-gate  check the promised ratios (some 12 minutes)"
	@echo "make build       make $(VENV) and compile the core"
	@echo "make clean       remove everything that was made"

serve: build
	$(BIN)/python -c 'import flask' 2>/dev/null || $(BIN)/python -m pip install --quiet flask
	exec $(BIN)/swhttp flask_app:app --app-dir examples --bind 127.0.0.1:8000

build: $(VENV)/built

# Most tests wait for servers, so there is one process more than CPUs in a small machine. Then those that need all CPUs.
test: $(VENV)/testing
	$(BIN)/python -m pytest -m "not alone" --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

differential: $(VENV)/testing
	SWHTTP_DIFFERENTIAL_EXAMPLES=20000 $(BIN)/python -m pytest tests/differential

soak: $(VENV)/testing
	$(BIN)/python -m tests.soak.reloads --reloads 100 --nginx
	$(BIN)/python -m tests.soak.recycling --seconds 60
	$(BIN)/python -m tests.soak.storm --seconds 60
	$(BIN)/python -m tests.soak.slowloris
	$(BIN)/python -m tests.soak.slowclients
	$(BIN)/python -m tests.soak.flow --mib 1024 --rate-mib 1
	$(BIN)/python -m tests.soak.corruption --seconds 300
	SWHTTP_TESTS_MODULE=tests.support.tight $(BIN)/python -m pytest tests/conformance tests/frameworks

lint: $(VENV)/linters
	$(BIN)/ruff check .
	$(BIN)/mypy
	@# It runs pycodestyle by its name.
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $(CYTHON)

docs: build
	$(BIN)/python -m swhttp.reference > docs/options.md
	$(BIN)/python -m tests.support.limitdocs > docs/limits.md

model:
	@for tool in spin gcc; do command -v $$tool >/dev/null || \
	  { echo "make model needs $$tool: apt-get install spin gcc"; exit 1; }; done
	$(PYTHON) tests/model/run.py

bench: $(VENV)/peers
	$(BIN)/python -m loadtest.bench

bench-gate: $(VENV)/peers
	$(BIN)/python -m loadtest.gate

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find swhttp adapters tests loadtest examples -name __pycache__ -prune -exec rm -rf {} +
	rm -f swhttp/*/*.so $(patsubst %.pyx,%.c,$(filter %.pyx,$(CYTHON)))

# The stamps make a second call quick: the environment follows pyproject.toml, the compiled core its sources. What only
# tests and linters need is installed when they are called, so that `make serve` is quick.
$(VENV)/installed: pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "setuptools>=77" "Cython>=3.1"
	@# Without the core: it is compiled once, below.
	SWHTTP_EXT=- $(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	@touch $@

$(VENV)/built: $(VENV)/installed $(SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

# What an extra of pyproject.toml names. Not by `pip install .[extra]`, which would compile everything once more.
define install_extra
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"] \
	  ["optional-dependencies"]["$(1)"], sep="\n")' > $(VENV)/$(1).txt
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/$(1).txt
endef

$(VENV)/testing: $(VENV)/built
	$(call install_extra,test)
	@touch $@

$(VENV)/linters: $(VENV)/testing
	$(call install_extra,lint)
	@touch $@

$(VENV)/peers: $(VENV)/testing loadtest/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement loadtest/requirements.txt
	@touch $@

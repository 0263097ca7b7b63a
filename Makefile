# `make serve` and `make test` need nothing but python3 (3.11 or later), its venv module and a C compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROCESSES ?= 3
# Of `make fuzz`: which targets (tests/fuzz), how long each, with which compiler.
TARGETS ?= http frames proxy blocks control octets websocket
SECONDS ?= 60
CLANG ?= $(shell for name in clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do command -v $$name && break; done)
TSAN_REQUESTS ?= 1000000
# Of `make autobahn`: --short, or --case PATTERN, once or more.
CASES ?=

# swhttp/adapters is a link to adapters.
SOURCES := $(wildcard swhttp/*/*.pyx swhttp/*/*.pxd swhttp/*/*.pxi swhttp/*/*.h)
CYTHON := $(filter %.pyx %.pxd,$(SOURCES)) tests/fuzz/stand.pyx

.PHONY: help serve build test differential autobahn soak asan tsan fuzz lint docs model bench bench-gate clean

help:
	@echo "make serve       serve examples/flask_app.py at http://127.0.0.1:8000"
	@echo "make test        run the tests"
	@echo "make differential  20,000 requests against h11 (minutes)"
	@echo "make autobahn    the Autobahn suite against the server's WebSockets (ten minutes); needs Python 2.7"
	@echo "make soak        workers reloaded, replaced, killed and gone wild; slow clients; narrow memory (half an hour)"
	@echo "make asan        the tests, with the core built for the address and undefined behaviour sanitizers (twenty minutes)"
	@echo "make tsan        rings and tables between threads, under the thread sanitizer"
	@echo "make fuzz        every target in TARGETS for SECONDS (60), with sanitizers; needs clang"
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

# The suite is Python 2.7, in an environment of its own; where there is none, a message says how to get it.
autobahn: $(VENV)/testing $(VENV)/autobahn/installed
	$(BIN)/python -m tests.autobahn.run --wstest $(VENV)/autobahn/bin/wstest --report $(VENV)/autobahn-report $(CASES)

soak: $(VENV)/testing
	$(BIN)/python -m tests.soak.reloads --reloads 100 --nginx
	$(BIN)/python -m tests.soak.recycling --seconds 60
	$(BIN)/python -m tests.soak.storm --seconds 60
	$(BIN)/python -m tests.soak.sockets calls --clients 1000 --reloads 20 --kills 20
	$(BIN)/python -m tests.soak.sockets asgi --clients 1000 --reloads 5 --drain 3
	$(BIN)/python -m tests.soak.slowloris
	$(BIN)/python -m tests.soak.slowclients
	$(BIN)/python -m tests.soak.flow --mib 1024 --rate-mib 1
	$(BIN)/python -m tests.soak.corruption --seconds 300
	SWHTTP_TESTS_MODULE=tests.support.tight $(BIN)/python -m pytest tests/conformance tests/frameworks

# Builds for sanitizers stand in copies of the tree, and are not those that anybody else runs.
define copied_tree
	mkdir -p $(VENV)/$(1)
	tar --exclude=./$(VENV) --exclude=./.git --exclude=./build --exclude='*.so' --exclude=__pycache__ -cf - . \
	  | tar -xf - -C $(VENV)/$(1)
endef

# Python's own leaks are not ours, and its allocator would hide what overruns. A worker that an app kills by SIGSEGV must
# die of it. Reports go to files: many processes have no stderr that anybody reads. Tests that need all CPUs measure.
asan: $(VENV)/testing
	$(call copied_tree,asan)
	cd $(VENV)/asan && SWHTTP_SANITIZE=address,undefined $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	cd $(VENV)/asan && SWHTTP_SANITIZE=address,undefined SWHTTP_EXT=tests.fuzz.stand \
	  $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	rm -rf $(VENV)/asan-reports && mkdir $(VENV)/asan-reports
	cd $(VENV)/asan && LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=detect_leaks=0:handle_segv=0:malloc_context_size=4:quarantine_size_mb=32:log_path=$(CURDIR)/$(VENV)/asan-reports/report \
	  UBSAN_OPTIONS=print_stacktrace=1:log_path=$(CURDIR)/$(VENV)/asan-reports/report \
	  SANITIZER_REPORTS=$(CURDIR)/$(VENV)/asan-reports $(CURDIR)/$(BIN)/python -m pytest \
	  -m "not alone and not unsanitized" --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder -o timeout=600
	@test -z "$$(ls $(VENV)/asan-reports)" || { cat $(VENV)/asan-reports/*; exit 1; }

tsan: $(VENV)/testing
	gcc -std=gnu11 -O1 -g -fsanitize=thread -Wno-tsan -I. tests/ipc/threads.c -o $(VENV)/threads -pthread
	TSAN_OPTIONS=halt_on_error=1 $(VENV)/threads $(TSAN_REQUESTS)

fuzz: $(VENV)/testing
	@test -n "$(CLANG)" || { echo "make fuzz needs clang and its sanitizers: apt-get install clang-14 libclang-rt-14-dev"; \
	  exit 1; }
	$(call copied_tree,fuzz)
	cd $(VENV)/fuzz && CC=$(CLANG) LDSHARED="$(CLANG) -shared" SWHTTP_SANITIZE=fuzzer,address,undefined \
	  $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/python -m tests.fuzz.run --compiler $(CLANG) --tree $(VENV)/fuzz --corpus $(VENV)/corpus --seconds $(SECONDS) \
	  $(TARGETS)

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
	rm -f swhttp/*/*.so tests/fuzz/*.so $(patsubst %.pyx,%.c,$(filter %.pyx,$(CYTHON)))

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

$(VENV)/testing: $(VENV)/built tests/fuzz/stand.pyx
	$(call install_extra,test)
	SWHTTP_EXT=tests.fuzz.stand $(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/linters: $(VENV)/testing
	$(call install_extra,lint)
	@touch $@

$(VENV)/autobahn/installed: tests/autobahn/install.py | $(VENV)/installed
	@$(BIN)/python -m tests.autobahn.install $(VENV)/autobahn
	@touch $@

$(VENV)/peers: $(VENV)/testing loadtest/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement loadtest/requirements.txt
	@touch $@

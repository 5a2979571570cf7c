# make run    sets everything up, runs the sample job end to end, goes on serving until Ctrl-C
# make test   sets everything up, then runs every check and test that CI runs
# make setup  only installs; make check lints and types; make bench and make soak take longer
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
bin := .venv/bin
PYTHON ?= python3

.PHONY: run test setup check format docs lock bench soak clean

run: .venv/ready
	$(bin)/featherweight up --job examples/digits.yaml

# Most tests wait for real processes, so three at a time suit two cores.
test: check
	$(bin)/pytest -n 3 --dist worksteal

setup: .venv/ready

check: .venv/ready
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/lint-imports --no-logo
	$(bin)/basedpyright

format: .venv/ready
	$(bin)/ruff check --fix-only .
	$(bin)/ruff format .

docs: .venv/ready
	$(bin)/python docs/generate.py

bench: .venv/ready
	$(bin)/python -m benchmarks

soak: .venv/ready
	$(bin)/python -m benchmarks.soak

lock: .venv/ready
	$(bin)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  pyproject.toml --group dev -c constraints.txt --upgrade | sed 's/+cpu$$//' > constraints.new
	mv constraints.new constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	$(bin)/pip install --quiet uv
	$(bin)/uv pip install --quiet --python .venv -c constraints.txt -e . --group dev
	touch $@

clean:
	rm -rf .venv var .pytest_cache .ruff_cache .hypothesis

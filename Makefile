# make demo   run the whole pipeline on scikit-learn's digits: no download, no GPU
# make test   run all checks: format, lint, types, tests, the documentation
# make types  check the types alone
# make docs   build the documentation into site/
# make serve  try the scheduled runs: a Prefect server and a worker on this machine
# make deps   write into dvc.yaml which code each stage imports
# make rooms  draw which package imports which
# make lock   resolve the dependencies of pyproject.toml anew
# TORCH=cpu   with any of them: the smaller build of torch, for machines without an NVIDIA GPU

PYTHON ?= python3
TORCH ?= default
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE # containers set it; each start would then compile all it imports
INSTALLED := .venv/installed-$(TORCH)
PIP := .venv/bin/python -m pip --disable-pip-version-check
# What each Python of the environment begins with, and the folder that it names.
BEGIN = pwd -P > .venv/made-in && mkdir -m 700 -p .dvc/tmp/site && \
  cp flows/engine/venv.pth "$$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')"
# The scripts of an environment name the folder that it was made in: after a move or a copy it is
# made anew. A link to another project's is left alone.
ifneq ($(shell test -L .venv || test ! -f .venv/made-in || \
  test "$$(cat .venv/made-in)" = "$$(pwd -P)" || echo moved),)
.PHONY: $(INSTALLED)
CLEAR := --clear
endif
INSTALL_PROJECT := $(PIP) install --no-deps --no-build-isolation --quiet --editable .

# On each build; docs/decisions/0001-documentation-site.md says what comes of it.
export NO_MKDOCS_2_WARNING := 1

.PHONY: demo test types docs serve deps rooms lock check-lock
demo: $(INSTALLED)
	pipeline demo

serve: $(INSTALLED)
	pipeline serve

deps: $(INSTALLED)
	python -m flows.commands.deps

rooms: $(INSTALLED)
	python -m flows.commands.rooms

test: $(INSTALLED)
	ruff format --check .
	ruff check .
	lint-imports --no-logo
	$(MAKE) --no-print-directory --jobs 2 types docs
	@# Where a worker is lost, what xdist would do then repeats its tests, or waits for ever.
	pytest --numprocesses 3 --max-worker-restart 0

types: $(INSTALLED)
	mypy

docs: $(INSTALLED)
	mkdocs build --strict --quiet
	@echo site/index.html

# Not compiled: Python does that for the few modules that are used, when they first are.
.venv/installed-default: requirements.lock
	$(PYTHON) -m venv $(CLEAR) .venv
	$(PIP) install --no-compile -r requirements.lock
	$(INSTALL_PROJECT)
	$(BEGIN)
	touch $@

# The lock without torch and its CUDA libraries, then torch's own CPU build of the same version.
.venv/installed-cpu: requirements-cpu.lock
	$(PYTHON) -m venv $(CLEAR) .venv
	$(PIP) install --no-compile --no-deps -r requirements-cpu.lock
	$(PIP) install --no-compile --index-url https://download.pytorch.org/whl/cpu \
	  $$(sed -nE 's/^ *"(torch(vision)?==[^"]*)",/\1/p' pyproject.toml)
	$(INSTALL_PROJECT)
	$(BEGIN)
	touch $@

# A package with extras is listed twice: older versions of pip do not carry the pin of `name[extra]`
# over to `name`, or the other way round, and then refuse the lock.
LOCK := uv pip compile pyproject.toml --extra dev --extra timm --universal --python-version 3.11 \
  --generate-hashes --no-strip-extras --quiet --no-header
TWICE := awk 'function flush() { plain = block; \
    if (sub(/^[a-z0-9-]+\[[^]]*\]/, "&", plain)) { sub(/\[[^]]*\]/, "", plain); printf "%s", plain } \
    printf "%s", block; block = "" } \
  /^[a-z0-9]/ { flush() } { block = block $$0 "\n" } END { flush() }'
NOT_TORCH = $$(sed -nE 's/^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z]*)(=|\[).*/\1/p' \
  requirements.lock | sed -E '/^nvidia-ml-py$$/d; s/^/--no-emit-package /' | sort -u)
# Versions that are locked stay where they still fit; UPGRADE=--upgrade takes the newest.
lock:
	$(LOCK) $(UPGRADE) --output-file requirements.lock > /dev/null
	$(TWICE) requirements.lock > .lock.tmp && mv .lock.tmp requirements.lock
	cp requirements.lock requirements-cpu.lock
	$(LOCK) $(NOT_TORCH) --output-file requirements-cpu.lock > /dev/null
	$(TWICE) requirements-cpu.lock > .lock.tmp && mv .lock.tmp requirements-cpu.lock

# Prove that the lock installs in an empty virtual environment.
check-lock:
	rm -rf .venv-check && $(PYTHON) -m venv .venv-check
	.venv-check/bin/python -m pip install --quiet -r requirements.lock
	.venv-check/bin/python -m pip check
	rm -rf .venv-check

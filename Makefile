# Every command anyone runs here. `make help` lists them.
# SPDX-License-Identifier: Apache-2.0
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
JOBS ?= 2
BUILD := build/inplace

.PHONY: help inplace clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

inplace:  ## build the compiled modules into sdk/tody/, for PYTHONPATH=sdk
	@cmake -S . -B $(BUILD) -G Ninja -DPython_EXECUTABLE=$$($(PYTHON) -c 'import sys; print(sys.executable)') >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@cmake --build $(BUILD) -j $(JOBS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@for module in $(BUILD)/_*.so; do cmp -s $$module sdk/tody/$${module##*/} || { cp $$module sdk/tody/.$${module##*/} && mv sdk/tody/.$${module##*/} sdk/tody/$${module##*/}; }; done

clean:  ## remove everything that was built
	rm -rf build dist sdk/tody/*.so .mypy_cache .pytest_cache .ruff_cache

"""Instructions of an inference with the AVX2 kernels, counted by callgrind, against those of the last release of the numbers.

A count repeats to a millionth where a clock does not: what makes the runtime slower by a few per cent is seen on any machine.
After a change that is meant to cost instructions, or that saves some: TODY_KEEP=1 pytest tests/bench/callgrind_test.py
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from patience import PATIENCE
from targets import HOST

KEPT = Path(__file__).with_suffix(".json")
SLACK = 1.03  # above the kept number
CASES = ["ic_resnet8 float32", "mobilenet_v2 float32", "mobilenet_v2 int8"]


def compiler() -> str:
    """Name and major version: another one makes other code."""
    text = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\w+).*? (\d+)\.\d+", text)
    return f"{found[1]} {found[2]}" if found else "unknown"


def make_model(name: str, precision: str, folder: Path) -> tuple[Path, int]:
    """A model of the zoo as a `.tody` file, and the bytes of its input."""
    from zoo import ZOO

    import tody

    if precision == "int8":
        from quantised import quantised

        source = quantised(name)
    else:
        source = ZOO[name]()
    (folder / "model.onnx").write_bytes(source.SerializeToString())
    tody.convert(folder / "model.onnx", folder / "model.tody")
    return folder / "model.tody", tody.load(folder / "model.tody", threads=1).input(0).nbytes


def count(case: str) -> int:
    """Instructions inside tody_run. Valgrind's CPU has AVX2 and nothing that came later."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        zeros, log = folder / "in.bin", folder / "log"
        model, input_bytes = make_model(*case.split(), folder)
        zeros.write_bytes(bytes(input_bytes))
        valgrind = ["valgrind", "--tool=callgrind", "--toggle-collect=tody_run", f"--callgrind-out-file={log}"]
        program = [HOST.build() / "run_model", model, zeros, folder / "out.bin"]
        done = subprocess.run([str(part) for part in (*valgrind, *program)], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.search(r"^(?:summary|totals): (\d+)", log.read_text(), re.MULTILINE)
        assert found, "callgrind counted nothing"
        return int(found[1])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are of x86-64")
@pytest.mark.parametrize("case", CASES)
def test_instructions(case: str) -> None:
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    kept = json.loads(KEPT.read_text())
    if os.environ.get("TODY_KEEP"):
        kept |= {"compiler": compiler(), case: count(case)}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        return
    if compiler() != kept["compiler"]:
        pytest.skip(f"the numbers are of {kept['compiler']}, and this is {compiler()}")
    counted = count(case)
    assert counted > 100_000  # else it counted something else: less than the products alone take
    assert counted <= SLACK * kept[case], f"{counted:,} instructions, and {kept[case]:,} before"

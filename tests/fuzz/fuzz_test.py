"""A short run of the fuzzer, and that its seeds use every operator."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import seeds

from tody import format as tf

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "tests" / "fuzz"
MUTATIONS = 20_000


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mutate() -> Path:
    run("cmake", "-S", HERE, "-B", BUILD)
    run("cmake", "--build", BUILD, "-j", "2")
    return BUILD / "mutate"


def test_every_operator_has_a_seed() -> None:
    table = (HERE.parents[1] / "runtime" / "ops" / "table.c").read_text()
    operators = set(re.findall(r"&tody_op_(\w+)", table))
    used = {record.op for data in seeds.models().values() for record in tf.read(data).records}
    assert used == operators


def test_mutations_are_refused_or_run(mutate: Path, tmp_path: Path) -> None:
    for name, data in seeds.models().items():
        (tmp_path / f"{name}.tody").write_bytes(data)
    told = run(mutate, MUTATIONS, 1, *sorted(tmp_path.glob("*.tody")))
    assert re.match(rf"{MUTATIONS} mutations: \d{{4}}", told), told  # at least a thousand got as far as running

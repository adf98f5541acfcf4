"""Short runs of the fuzzers, and that their seeds use every operator and every kind of block."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import seeds

from targets import sanitized
from tody import coding
from tody import format as tf

pytestmark = pytest.mark.long
HERE = Path(__file__).resolve().parent
MUTATIONS = 20_000
CODED_MUTATIONS = 20_000
MESSAGES = 50_000


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs() -> Path:
    return sanitized()


def test_every_operator_has_a_seed() -> None:
    table = (HERE.parents[1] / "runtime" / "ops" / "table.c").read_text()
    operators = set(re.findall(r"&tody_op_(\w+)", table))
    used = {record.op for data in seeds.models().values() for record in tf.read(data).records}
    assert used == operators


def test_mutations_are_refused_or_run(programs: Path, tmp_path: Path) -> None:
    for name, data in seeds.models().items():
        (tmp_path / f"{name}.tody").write_bytes(data)
    told = run(programs / "mutate", MUTATIONS, 1, *sorted(tmp_path.glob("*.tody")))
    assert re.match(rf"{MUTATIONS} mutations: \d{{4}}", told), told  # at least a thousand got as far as running


def test_every_kind_of_block_has_a_seed() -> None:
    kinds = set()
    for data in seeds.coded().values():
        at = len(tf.read_header(data).pack())
        for _, _, stored in coding.blocks(data):
            kinds.add(data[at + 3])
            at += stored
    assert {0, 1, 2, 4, 0x81, 0x82, 0x84} <= kinds


def test_damaged_coded_files_are_refused_however_they_arrive(programs: Path, tmp_path: Path) -> None:
    for name, data in seeds.coded().items():
        (tmp_path / f"{name}.coded").write_bytes(data)
    told = run(programs / "unpack", CODED_MUTATIONS, 1, *sorted(tmp_path.glob("*.coded")))
    assert re.match(rf"{CODED_MUTATIONS} coded files: \d{{4}}", told), told  # those without damage, at least


def test_a_device_answers_hostile_messages(programs: Path, tmp_path: Path) -> None:
    for name in ("softmax", "copy_transpose"):
        (tmp_path / f"{name}.tody").write_bytes(seeds.models()[name])
    told = run(programs / "link", MESSAGES, 1, *sorted(tmp_path.glob("*.tody")))
    answers, refusals, uploads = map(int, re.findall(r"(\d+) (?:answers|of them|uploads)", told))
    assert answers > MESSAGES / 2 and refusals < answers and uploads >= 5, told

"""A coded file that arrives in pieces of any size, here and under emulation, decodes to the plain one."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from targets import EMULATED, HOST, ROOT, Target
from tody import format as tf

CODED = sorted((ROOT / "tests" / "format" / "1.1").glob("*.tody"))
INT16 = ROOT / "tests" / "format" / "1.5" / "kws_dscnn_int16.tody"
PLAIN = ROOT / "tests" / "format" / "1.0" / "lstm.tody"


def unpacked(target: Target, path: Path, seed: int, out: Path) -> bytes:
    done = target.run("unpack", path, out, seed)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 9000, "docs/format.md says 8 KB"
    return out.read_bytes()


@pytest.mark.parametrize(
    "target", [HOST, *(t for t in EMULATED if t.name in ("cortex-a53", "cortex-a7"))], ids=lambda t: t.name
)
def test_pieces_give_the_plain_file(target: Target, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tody"
    pairs.write_bytes(tf.write(tf.read(INT16.read_bytes()), coded=True))
    for path in (*CODED, pairs):
        plain = tf.plain(path.read_bytes())
        for seed in (0, 1, 2):
            assert unpacked(target, path, seed, tmp_path / "plain") == plain, (path, seed)


@pytest.mark.parametrize("seed", [0, 5])
def test_a_plain_file_comes_out_as_it_is(seed: int, tmp_path: Path) -> None:
    assert unpacked(HOST, PLAIN, seed, tmp_path / "plain") == PLAIN.read_bytes()


@pytest.mark.parametrize("seed", [0, 7])
def test_what_is_missing_is_told(seed: int, tmp_path: Path) -> None:
    for path in (CODED[0], PLAIN):
        short = tmp_path / "short.tody"
        short.write_bytes(path.read_bytes()[:-1])
        done = HOST.run("unpack", short, tmp_path / "plain", seed)
        assert done.returncode == 1 and "shorter" in done.stderr

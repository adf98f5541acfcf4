"""Every kernel of every set against portable, on this machine and on emulated ones, each of which must get its own set."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from targets import EMULATED, HOST, Target


@pytest.mark.parametrize("target", [HOST, *EMULATED], ids=lambda target: target.name)
def test_kernels_agree_with_portable(target: Target) -> None:
    tries = 2000 if target is HOST else 500 if target.by_avx2 else 100
    done = target.run("check", "--expect", target.kernels, "--tries", tries)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_choice_of_set_fails() -> None:
    done = HOST.run("check", "--expect", "none", "--tries", 1)
    assert done.returncode == 1 and "expected none" in done.stdout

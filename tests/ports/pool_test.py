"""The thread pool under stress, plain and under ThreadSanitizer."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess

import pytest

from patience import PATIENCE
from targets import HOST


@pytest.mark.parametrize("sanitizer", ["", "thread"])
def test_pool(sanitizer: str) -> None:
    program = HOST.build(sanitizer, "pool_check") / "pool_check"
    done = subprocess.run([program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr

"""The thread pool under stress, plain and under ThreadSanitizer."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess

import pytest

from targets import HOST


@pytest.mark.parametrize("flags", ["", "-fsanitize=thread"], ids=["plain", "tsan"])
def test_pool(flags: str) -> None:
    done = subprocess.run([HOST.build(flags) / "pool_check"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr

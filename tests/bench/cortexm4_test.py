"""Cycles by the Cortex-M4's manual: its own examples, and what depends on the instruction before."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from instructions.cortexm4 import cycles


@pytest.mark.parametrize(
    ("run", "count"),
    [
        ("ldr r0, [r1]; ldr r1, [r2]", 3),  # these four: section 3.3.3
        ("ldr r0, [r1, r2]; str r0, [r3, #20]", 3),
        ("ldr r0, [r1, r2]; str r1, [r3, r2]", 3),
        ("ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]", 4),
        ("add r1, r2; ldr r0, [r1]", 4),  # the address comes late
        ("cmp r1, r2; ldr r0, [r1]", 3),
        ("itt eq; ldreq r0, [r1]; ldreq r2, [r1]", 4),
        ("ldm r0, {r4-r7}", 5),
        ("vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s2", 3),
        ("vadd.f32 s0, s1, s2; vstr s0, [r0]", 3),
    ],
)
def test_runs(run: str, count: float) -> None:
    assert cycles(run.split("; "), 0.0) == count


@pytest.mark.parametrize(("branch", "count"), [("bne 0", 3), ("pop {r4-r7, pc}", 8), ("tbb [pc, r0]", 6), ("ldr pc, [r0]", 5)])
def test_branches_that_are_taken(branch: str, count: float) -> None:
    assert cycles([branch], 1.0) == count

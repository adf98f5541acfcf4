"""Prints what became of onnx's cases at the end of a test run."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

_tallies: dict[str, tuple[Counter[str], Counter[str]]] = {}


@pytest.fixture
def tallies() -> dict[str, tuple[Counter[str], Counter[str]]]:
    """Kind of cases -> (outcome -> count, reason of refusal -> count)."""
    return _tallies


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for kind, (outcomes, reasons) in _tallies.items():
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        terminalreporter.section(f"onnx {kind}: {counts} of {sum(outcomes.values())}")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5} refused  {reason}")

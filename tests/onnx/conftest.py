"""Prints what became of onnx's cases at the end of a test run, in whichever process they ran."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

TALLY = "onnx"  # the property of a test: [kind of cases, {outcome: count}, {reason of refusal: count}], most first


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for many in terminalreporter.stats.values() for report in many]
    properties = [p for report in reports if getattr(report, "when", "") == "call" for p in report.user_properties]
    for kind, outcomes, reasons in (value for name, value in properties if name == TALLY):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        terminalreporter.section(f"onnx {kind}: {counts} of {sum(outcomes.values())}")
        for reason, count in reasons.items():
            terminalreporter.write_line(f"{count:5} refused  {reason}")

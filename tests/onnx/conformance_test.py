"""The onnx package's own cases: passed, or refused for a reason that is listed. A wrong answer fails."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

pytest.importorskip("onnx")
from conformance import run_case
from onnx.backend.test.loader import load_model_tests

KNOWN = tomllib.loads((Path(__file__).parent / "known.toml").read_text())["operators"]
LEAST = {"node": 700, "simple": 5, "pytorch-converted": 60, "pytorch-operator": 25}


@pytest.mark.parametrize("kind", LEAST)
def test_cases(kind: str, record_property: Callable[[str, object], None]) -> None:
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    bad = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases themselves overflow on purpose
        for case in load_model_tests(kind=kind):
            try:
                result = run_case(case)
            except Exception as e:  # a case must not stop the others; it fails the test below
                bad.append(f"{case.name}: {type(e).__name__}: {e}")
                continue
            outcome = "passed with inputs bound" if result.outcome == "passed" and result.bound else result.outcome
            outcomes[outcome] += 1
            if result.outcome == "refused":
                reasons[result.reason] += 1
                operator = result.reason.partition(":")[0]
                if operator != "border" and operator not in KNOWN:
                    bad.append(f"{case.name}: refused: {result.reason}; known.toml does not list {operator}")
            elif result.outcome == "wrong":
                bad.append(f"{case.name}: {result.reason}")
    record_property("onnx", [kind, dict(outcomes.most_common()), dict(reasons.most_common())])
    assert not bad, "\n".join(bad)
    assert outcomes["passed"] + outcomes["passed with inputs bound"] >= LEAST[kind]

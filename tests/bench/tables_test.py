"""What tables.py says of measurements: ratios, ties, and a page that is filled again and again."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from tables import END, Ratio, Row, fill, geometric_mean, ratio, read, summary, tables


def row(runtime: str, min_ms: float | None, model: str = "net", **more: object) -> Row:
    values = {"prec": "fp32", "threads": 1, "min_ms": min_ms, "med_ms": min_ms and 2 * min_ms, **more}
    return Row(model=model, runtime=runtime, **values)  # type: ignore[arg-type]


def test_ratio_is_to_the_fastest_that_ran() -> None:
    rows = [row("tody", 8), row("slow", 20), row("fast", 10), row("broken", 1, error="wrong")]
    assert ratio(rows) == Ratio(0.8, "fast")
    assert ratio(rows[:1]) is None and ratio(rows[1:]) is None
    assert ratio([row("tody", None), row("fast", 10)]) is None


@pytest.mark.parametrize(("value", "verdict"), [(0.94, -1), (0.96, 0), (1.0, 0), (1.04, 0), (1.06, 1)])
def test_no_order_within_the_noise(value: float, verdict: int) -> None:
    assert Ratio(value, "fast").verdict == verdict


def test_summary_counts_and_means() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1)
    measured = {(m, "fp32", 1): [row("tody", ours, m), row("fast", 1, m)] for m, ours in (("a", 0.5), ("b", 1.0), ("c", 2.0))}
    (line,) = summary(measured)
    assert line.startswith("float32, one thread: 1.00 x")
    assert "tody is faster on 1, a tie on 1, tody is slower on 1" in line


def test_the_last_measurement_counts_and_the_page_keeps_its_text() -> None:
    lines = [json.dumps(vars(r)) for r in (row("tody", 3), row("tody", 2, load_ms=1.0, first_ms=2.0), row("fast_", 4))]
    measured = read([*lines, json.dumps({"model": "net", "prec": "fp32", "threads": 2, "runtime": "tody", "error": "no"})])
    assert [(r.runtime, r.min_ms) for r in measured["net", "fp32", 1]] == [("tody", 2), ("fast", 4)]
    shown = tables(measured)
    assert "| net | 0.50 (fast) |  |" in shown
    assert "| net | 3.00 |  |" in shown  # load and first run
    page = fill(f"before\n<!-- speed -->\nold\n{END}\nafter\n", shown)
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert fill(page, shown) == page
    with pytest.raises(ValueError, match="lacks"):
        fill("nothing here", shown)

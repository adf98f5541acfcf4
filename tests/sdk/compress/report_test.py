"""The report of a compression: its text, its JSON, its page, and the judgement on what was lost."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tody.compress.measure import Accuracy, Cost
from tody.compress.report import CompressReport, Island, Layer, Point
from tody.errors import AccuracyError
from tody.run.agreement import Agreement, OutputAgreement
from tody.run.match import BoxAgreement

NASTY = "conv<script>alert('1')</script>&\""


def agreement(boxes: BoxAgreement | None = None, argmax: float | None = None) -> Agreement:
    outputs = [OutputAgreement("scores", 0.999, 27.0, 0.1), OutputAgreement("copy", 1.0, math.inf, 0.0)]
    return Agreement(20, outputs, argmax, boxes)


def report(accuracy: Accuracy | None = None, weights: int = 8) -> CompressReport:
    layers = [Layer(f"conv{i}", "conv", 8, 30.0 - i, -1.0, 1.0, "mse", [1, 5, 0, 2], -2, 2, [3, 1], -1, 1) for i in range(8)]
    layers += [Layer(NASTY, "softmax", 32, 25.0), Layer("unmeasured", "copy")]
    return CompressReport(
        name="door",
        source="door.onnx",
        weights=weights,
        options={"method": "auto", "effort": "normal"},
        data={"source": "pictures", "kind": "pictures", "calibration": 128, "measuring": 20, "shared": False},
        before=Cost(4_000_000, 3_900_000, 500_000, 12.5),
        after=Cost(1_000_000, 900_000, 130_000, 4.25),
        accuracy=accuracy or Accuracy("map", 0.287, 0.285, 20, agreement(BoxAgreement(0.96, 0.97, 0.6, 50, 49))),
        layers=layers,
        islands=[Island(NASTY, "softmax", "softmax has no int8 form")],
        points=[Point("int8", 1_000_000, 0.285), Point("4 bit", 550_000, 0.27)],
        notes=["a note"],
        content=b"TODY...",
    )


def test_text_says_before_and_after() -> None:
    text = str(report())
    for part in (
        "3.81 MiB -> 976.6 KiB, 25.0 %", "12.50 ms -> 4.25 ms", "0.2870 -> 0.2850 (-0.20 points) on 20 samples",
        "F1 0.9600", "conv7 conv: 23.0 dB", "softmax has no int8 form", "4 bit: 537.1 KiB, 0.2700", "a note",
        "128 pictures to calibrate, 20 to measure",
    ):  # fmt: skip
        assert part in text
    assert text.index("conv7") < text.index("conv6"), "the worst first"
    assert "unmeasured" not in text


def test_dict_is_json_without_histograms() -> None:
    facts = json.loads(json.dumps(report().as_dict()))
    assert facts["accuracy"]["drop"] == pytest.approx(0.002) and facts["after"]["file_bytes"] == 1_000_000
    assert facts["layers"][0] == {
        "name": "conv0", "op": "conv", "bits": 8, "sqnr_db": 30.0, "low": -1.0, "high": 1.0, "method": "mse",
    }  # fmt: skip
    assert "content" not in facts and facts["islands"][0]["reason"]


class Checker(HTMLParser):
    """Keeps the open tags, and what a page asks of the world outside."""

    EMPTY = ("meta",)

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.outside += [f"{tag} {key}" for key, value in attrs if key in ("src", "href", "srcset") or "//" in (value or "")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def test_page_is_whole_and_needs_nothing_else() -> None:
    text = report().html()
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == [] and checker.outside == []
    assert {"svg", "table", "style"} <= checker.tags and not {"script", "link", "img", "iframe"} & checker.tags
    assert "url(" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert "&lt;script&gt;" in text


def test_page_of_little_still_works() -> None:
    bare = replace(report(), layers=[], islands=[], points=[], notes=[])
    text = bare.html()
    Checker().feed(text)
    assert "Worst layers" not in text and "<svg" not in text and "0.2850" in text


def test_page_has_a_bar_for_each_measured_layer() -> None:
    assert len(re.findall(r"<title>[^<]* dB</title>", report().html())) == 9


def test_files_are_put_in_place(tmp_path: Path) -> None:
    assert report().save(tmp_path / "a.tody").read_bytes() == b"TODY..."
    assert "<svg" in report().save_page(tmp_path / "a.html").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.tody"]
    with pytest.raises(OSError) as raised:
        report().save(tmp_path / "none" / "a.tody")
    assert raised.value.filename == str(tmp_path / "none" / "a.tody")


CASES = {
    # accuracy, --max-drop -> lost too much
    "mAP within": (Accuracy("map", 0.30, 0.2901, 9, agreement()), 0.01, False),
    "mAP beyond": (Accuracy("map", 0.30, 0.2899, 9, agreement()), 0.01, True),
    "mAP better": (Accuracy("map", 0.30, 0.31, 9, agreement()), 0.0, False),
    "top-1 beyond": (Accuracy("top1", 0.9, 0.8, 9, agreement(argmax=0.99)), 0.05, True),
    "classes within": (Accuracy("agreement", 1.0, 0.951, 9, agreement(argmax=0.951)), 0.01, False),
    "classes beyond": (Accuracy("agreement", 1.0, 0.949, 9, agreement(argmax=0.949)), 0.01, True),
    "boxes within": (Accuracy("agreement", 1.0, 0.91, 9, agreement(BoxAgreement(0.91, 0.9, 0.5, 9, 9))), 0.01, False),
    "boxes beyond": (Accuracy("agreement", 1.0, 0.89, 9, agreement(BoxAgreement(0.89, 0.9, 0.5, 9, 9))), 0.01, True),
    "cosine within": (Accuracy("agreement", 1.0, 0.991, 9, agreement()), 0.01, False),
    "cosine beyond": (Accuracy("agreement", 1.0, 0.989, 9, agreement()), 0.01, True),
    "nothing is left": (Accuracy("agreement", 1.0, math.nan, 9, agreement()), 0.5, True),
}


@pytest.mark.parametrize("name", CASES)
def test_too_much_lost_is_refused(name: str) -> None:
    accuracy, max_drop, refused = CASES[name]
    result = report(accuracy)
    if not refused:
        result.judge(max_drop)
        assert result.notes == ["a note"]
        return
    with pytest.raises(AccuracyError, match="loses too much") as raised:
        result.judge(max_drop)
    assert "conv7 23.0 dB, conv6 24.0 dB, conv5 25.0 dB" in raised.value.why and "--force" in raised.value.hint
    assert "more bits" not in raised.value.hint and raised.value.exit_code == 3
    result.judge(max_drop, force=True)
    assert "kept because it was forced" in result.notes[-1]


@pytest.mark.parametrize(
    ("accuracy", "max_drop", "said"),
    [
        (Accuracy("agreement", 1.0, 0.99999987, 9, agreement()), 0.0, "lowest cosine of an output 0.9999999"),
        (Accuracy("agreement", 1.0, 0.989, 9, agreement()), 0.01, "lowest cosine of an output 0.9890"),
        (Accuracy("map", 0.3, 0.289996, 9, agreement()), 0.01, "mAP 0.300000 -> 0.289996 (-1.0004 points)"),
    ],
)
def test_what_was_lost_reads_as_more_than_is_allowed(accuracy: Accuracy, max_drop: float, said: str) -> None:
    with pytest.raises(AccuracyError) as raised:
        report(accuracy).judge(max_drop)
    assert raised.value.what == f"the compressed model loses too much: {said}"


def test_few_bits_are_the_first_thing_to_change() -> None:
    with pytest.raises(AccuracyError) as raised:
        report(Accuracy("map", 0.3, 0.1, 9, agreement()), weights=4).judge(0.01)
    assert raised.value.hint.startswith("more bits (--weights)")

"""What a compression did, what it cost in accuracy, and what it saves."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..convert.report import size, table, write_atomically
from ..errors import AccuracyError
from .measure import Accuracy, Cost

WORST = 5  # layers that the text names
BINS = 64  # of the histograms in a report

METRIC_NAMES = {"map": "mAP", "top1": "top-1", "agreement": "agreement"}
KIND_NAMES = {"boxes": "boxes that both models find (F1)", "argmax": "equal classes", "cosine": "lowest cosine of an output"}


@dataclass(frozen=True)
class Layer:
    """One operator of the compressed model and what became of its result.

    Attributes:
        name: of its first output; what users can pass on to others.
        op: the primitive operator.
        bits: of its weights, 2 to 8, 16 or 32; of an operator without weights 8, or 32 in float.
        sqnr_db: power of the float model's value over the power of the difference, on calibration samples, with everything
            before it compressed too; None where it was not measured.
        low, high: the real numbers between which its result is kept; None for float.
        method: how that range was chosen.
        seen: histogram of its result in the float model, `BINS` counts from `seen_low` to `seen_high`; may be empty.
        weights, weights_low, weights_high: the same of its float weights.
    """

    name: str
    op: str
    bits: int = 8
    sqnr_db: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    seen: Sequence[float] = ()
    seen_low: float = 0.0
    seen_high: float = 0.0
    weights: Sequence[float] = ()
    weights_low: float = 0.0
    weights_high: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`, without histograms."""
        return {key: value for key, value in vars(self).items() if not key.startswith(("seen", "weights"))}


@dataclass(frozen=True)
class Island:
    """An operator that stays in float32 inside of a model that is compressed, and why."""

    name: str
    op: str
    reason: str


@dataclass(frozen=True)
class Point:
    """A size with its accuracy: one of several that were tried."""

    label: str
    file_bytes: int
    accuracy: float


@dataclass
class CompressReport:
    """A compressed model and the facts about it.

    Attributes:
        name: of the model.
        source: file name of the source.
        weights: bits of the weights: 2 to 8, or 16; beside int16 6 to 15, of the largest layer; in float32 arithmetic so
            many significant ones.
        options: what was asked for besides: method, effort, prune, io.
        data: what calibrated and measured (`Data.as_dict`).
        before, after: size, memory and latency of the float model and of the compressed one.
        accuracy: before and after, on the measuring samples.
        layers: in the order in which they run.
        islands: what stays in float32.
        points: sizes against accuracy, where several were tried.
        decoder: name of the decoder, if any.
        notes: what was assumed and what the user should know.
        content: the bytes of the `.tody` file.
        arithmetic: "int8", "int16", or "float32" where all of it computes in that.
    """

    name: str
    source: str
    weights: int
    options: dict[str, Any]
    data: dict[str, Any]
    before: Cost
    after: Cost
    accuracy: Accuracy
    layers: list[Layer] = field(default_factory=list)
    islands: list[Island] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    decoder: str = ""
    notes: list[str] = field(default_factory=list)
    content: builtins.bytes = field(default=b"", repr=False)
    arithmetic: str = "int8"

    @property
    def bytes(self) -> builtins.bytes:
        """The `.tody` file."""
        return self.content

    @property
    def kind(self) -> str:
        """What the weights are, in words."""
        if self.weights == 16:
            return "float16"
        if self.arithmetic == "float32":
            return f"{self.weights} significant bits, in float32"
        return f"{self.weights} bit" if self.arithmetic == "int8" else f"{self.weights} bit, activations of 16"

    @property
    def worst_layers(self) -> list[Layer]:
        """Compressed layers by their SQNR, the worst first."""
        measured = [layer for layer in self.layers if layer.sqnr_db is not None and layer.bits < 32]
        return sorted(measured, key=lambda layer: layer.sqnr_db or 0.0)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Put the file in place: a crash leaves the old one or the new one, never half of it. Returns its path."""
        return _write(Path(path), self.content)

    def save_page(self, path: str | os.PathLike[str]) -> Path:
        """The same for the page of `html`."""
        return _write(Path(path), self.html().encode())

    def html(self) -> str:
        """One page that needs nothing but itself, with plots."""
        from .page import page

        return page(self)

    def judge(self, max_drop: float, force: bool = False) -> None:
        """Refuse a result that lost too much.

        Args:
            max_drop: of the metric, 0 to 1; `Accuracy.allowed` says what that means without labels.
            force: add a note instead.

        Raises:
            AccuracyError: more was lost, and it is not forced.
        """
        allowed = self.accuracy.allowed(max_drop)
        if self.accuracy.drop <= allowed:
            return
        what = f"the compressed model loses too much: {self._lost(self._telling_digits(allowed))}"
        worst = ", ".join(f"{layer.name} {layer.sqnr_db:.1f} dB" for layer in self.worst_layers[:3])
        why = f"{allowed:.3g} is allowed (--max-drop {max_drop:g})" + (f"; worst layers: {worst}" if worst else "")
        if not force:
            hint = "--effort best; more or better pictures (--samples); tody sensitivity; --max-drop allows more, --force all"
            raise AccuracyError(what, why, hint if self.weights >= 8 else f"more bits (--weights); {hint}")
        self.notes.append(f"{what}: {why}; kept because it was forced")

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        facts = {key: value for key, value in vars(self).items() if key not in ("content", "layers", "accuracy")}
        lists = {key: [asdict(each) for each in facts[key]] for key in ("islands", "points")}
        costs = {"before": asdict(self.before), "after": asdict(self.after)}
        return {**facts, **lists, **costs, "accuracy": self.accuracy.as_dict(), "layers": [x.as_dict() for x in self.layers]}

    def __str__(self) -> str:
        before, after = self.before, self.after
        rows = [
            ("model", self.name),
            ("weights", self.kind),
            ("options", ", ".join(f"{key} {value}" for key, value in self.options.items())),
            ("data", self._data()),
            ("file", f"{size(before.file_bytes)} -> {size(after.file_bytes)}, {_share(after.file_bytes, before.file_bytes)}"),
            ("memory", f"{size(before.memory_bytes)} -> {size(after.memory_bytes)} with one thread"),
            *self._latency(),
            *self._accuracy(),
            *(("worst layers", f"{w.name} {w.op}: {w.sqnr_db:.1f} dB") for w in self.worst_layers[:WORST]),
            *(("in float32", f"{island.name} {island.op}: {island.reason}") for island in self.islands),
            *(("tried", f"{p.label}: {size(p.file_bytes)}, {p.accuracy:.4f}") for p in self.points),
            *(("note", note) for note in self.notes),
        ]
        return table(rows)

    def _data(self) -> str:
        data = self.data
        kind = data.get("kind", "samples")
        return f"{data.get('source', '')}: {data.get('calibration')} {kind} to calibrate, {data.get('measuring')} to measure"

    def _latency(self) -> list[tuple[str, str]]:
        before, after = self.before.latency_ms, self.after.latency_ms
        if before is None or after is None:
            return []
        return [("latency", f"{before:.2f} ms -> {after:.2f} ms here with one thread")]

    def _accuracy(self) -> list[tuple[str, str]]:
        accuracy, rows = self.accuracy, []
        if accuracy.metric != "agreement":
            rows.append((METRIC_NAMES[accuracy.metric], f"{self._lost()} on {accuracy.samples} samples"))
        return rows + [("agreement", line) for line in agreement_lines(accuracy)]

    @property
    def loss(self) -> str:
        """What the model gives, and in which size and time, in words."""
        ms = "" if self.after.latency_ms is None else f", {self.after.latency_ms:.2f} ms"
        return f"gives {self._lost()} in {size(self.after.file_bytes)}{ms}"

    def _telling_digits(self, allowed: float) -> int:
        """Decimal places, four at least, at which what was lost reads as more than is allowed."""
        a = self.accuracy
        return next((n for n in range(4, 17) if round(a.before, n) - round(a.after, n) > allowed + 0.5 * 10**-n), 4)

    def _lost(self, digits: int = 4) -> str:
        a = self.accuracy
        if a.metric == "agreement":
            same = f", {a.agreement.boxes.same:.4f} at the same place" if a.agreement.boxes else ""
            return f"{KIND_NAMES[a.agreement.kind]} {a.after:.{digits}f}{same}"
        return (
            f"{METRIC_NAMES[a.metric]} {a.before:.{digits}f} -> {a.after:.{digits}f} ({-100 * a.drop:+.{digits - 2}f} points)"
        )


def smallest(tried: Sequence[CompressReport], max_drop: float) -> CompressReport:
    """That with the smallest file of those that lose no more than allowed, or that which loses least; all are its points."""
    good = [each for each in tried if each.accuracy.is_kept(max_drop, moved=1.0)]
    chosen = min(good, key=lambda each: len(each.content)) if good else min(tried, key=lambda each: each.accuracy.drop)
    chosen.points = [Point(each.kind, len(each.content), each.accuracy.after) for each in tried]
    return chosen


def agreement_lines(accuracy: Accuracy) -> list[str]:
    """What the agreement says, in words."""
    found, lines = accuracy.agreement, []
    if found.boxes:
        b = found.boxes
        where = f"{b.same:.4f} at the same place, overlap {b.iou:.3f} on average"
        lines.append(f"boxes: F1 {b.f1:.4f}, {where}; {b.before} found before, {b.after} after")
        lines.append(
            f"scores: {b.noise:.4f} of the logit away near the threshold; {b.doubt:.4f} of the boxes may change sides of it"
        )
    if found.argmax is not None:
        lines.append(f"the same class for {100 * found.argmax:.1f} % of {found.samples} samples")
    ranked = sorted(found.outputs, key=lambda o: o.sqnr_db)
    for o in ranked[:WORST]:
        lines.append(f"output {o.name}: " + (f"SQNR {o.sqnr_db:.1f} dB, cosine {o.cosine:.5f}" if o.largest else "equal"))
    return lines


def _share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def _write(path: Path, content: builtins.bytes) -> Path:
    try:
        return write_atomically(path, content)
    except OSError as e:
        if e.errno:
            e.filename = os.fspath(path)  # not the one beside it, which the user does not know
        raise

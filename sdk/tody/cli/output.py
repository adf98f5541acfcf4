"""What a command prints: lines for people, or one JSON object a line; progress for what takes long; errors in three lines."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import TodyError, UnsupportedError

MOST_NODES = 20  # of a model that cannot be converted, a line each

# What is said of an error that does not say itself why it came or what to try.
_USUAL = {
    "error": ("no more is known", "TODY_DEBUG=1 shows where it comes from"),
    "usage": ("the arguments do not fit", "tody COMMAND --help, tody info MODEL"),
    "model": ("its content is not what tody expects", "convert the model again"),
    "camera": ("it is not there", "check the name; tody cameras lists what is here"),
}


class Output:
    """Results go to standard output, everything else to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def line(self, text: str = "") -> None:
        """A line for people; nothing with --json."""
        if not self.as_json:
            print(_visible(text), flush=True)

    def clear(self) -> None:
        """Begin again at the top, if a person looks at a terminal."""
        if not self.as_json and sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")

    def data(self, value: dict[str, Any]) -> None:
        """An object for programs; nothing without --json."""
        if self.as_json:
            print(_json(value), flush=True)

    def note(self, text: str) -> None:
        """A remark beside the result; nothing with --json."""
        if not self.as_json:
            print(_visible(text), file=sys.stderr, flush=True)

    def error(self, error: TodyError) -> None:
        why, hint = _USUAL.get(error.kind, _USUAL["error"])
        facts = {**error.as_dict(), "why": error.why or why, "try": error.hint or hint}
        if self.as_json:
            print(_json(facts), file=sys.stderr, flush=True)
            return
        print(_visible(f"error: {error.what}\n  why: {facts['why']}\n  try: {facts['try']}"), file=sys.stderr)
        if isinstance(error, UnsupportedError):
            hints = {node.get("hint") for node in error.nodes}
            for node in error.nodes[:MOST_NODES]:
                operator = f"{node.get('operator')} of {node.get('domain') or 'ai.onnx'} {node.get('opset')}"
                place = f"{node.get('name') or '(no name)'}: {operator}"
                parts = (str(part) for part in (place, node.get("why"), len(hints) > 1 and node.get("hint")) if part)
                print(_visible("  " + "; ".join(parts)), file=sys.stderr)
            if len(error.nodes) > MOST_NODES:
                print(f"  and {len(error.nodes) - MOST_NODES} more, which --json lists", file=sys.stderr)

    def progress(self, what: str, total: int = 0) -> Progress:
        return Progress(what, total, quiet=self.as_json)

    def stages(self) -> Stages:
        return Stages(self)


def _visible(text: str) -> str:
    """The text without control characters: names in a model file must not steer the terminal."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def _json(value: dict[str, Any]) -> str:
    """One line. JSON has no NaN and no infinity: they become null."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=lambda v: _finite(_plain(v)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, paths and the like as JSON."""
    for method in ("tolist", "as_dict"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table. Columns that hold numbers only are set to the right."""
    cells = [[str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    right = [bool(cells) and all(row[i][:1].isdigit() or row[i][:1] in "-+" for row in cells) for i in range(len(header))]

    def text(row: Sequence[str]) -> str:
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()

    return [text(row) for row in [list(header), *cells]]


def size_text(count: float) -> str:
    """Bytes for people: 412 KiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


class Progress:
    """Rate and time left, for what takes more than a second: one line that changes on a terminal, else nothing but its end.

    Args:
        what: what is going on.
        total: steps in all; 0: not known.
    """

    def __init__(self, what: str, total: int = 0, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.total, self.done = what, total, 0
        self._clock, self._start = clock, clock()
        self._shown = self._start
        self._live = sys.stderr.isatty() and not quiet
        self._quiet, self._drawn = quiet, False

    def step(self, count: int = 1) -> None:
        self.done += count
        now = self._clock()
        if self._live and now - self._start >= 1.0 and now - self._shown >= 0.1:
            self._shown, self._drawn = now, True
            print(f"\r\x1b[2K{self.text(now)}", end="", file=sys.stderr, flush=True)

    def text(self, now: float) -> str:
        passed = max(now - self._start, 1e-6)
        rate = self.done / passed
        if not self.total:
            return f"{self.what}: {self.done}, {rate:.1f}/s"
        left = (self.total - self.done) / rate if rate else 0.0
        share = 100 * self.done // self.total
        return f"{self.what}: {self.done}/{self.total} ({share}%), {rate:.1f}/s, {int(left) // 60}:{int(left) % 60:02d} left"

    def close(self) -> None:
        if self._drawn:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
        elif not self._quiet and not self._live and self._clock() - self._start >= 1.0:
            print(f"{self.what}: {self.done} in {self._clock() - self._start:.1f} s", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Stages:
    """Progress of work in several stages, told by calls with what is going on, how much is done, and of how much."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._now: Progress | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._now is None or self._now.what != what:
            self.close()
            self._now = self._out.progress(what, total)
        self._now.step(done - self._now.done)

    def close(self) -> None:
        if self._now is not None:
            self._now.close()
            self._now = None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

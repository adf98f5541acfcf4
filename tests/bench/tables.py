"""Tables of measured speeds, into a page of the docs: tables.py RESULTS.jsonl.. [--page docs/performance.md] [--mark NAME]

A line of a results file is one runtime on one model: see Row. Of several lines of the same kind the last counts. In the page,
what stands between `<!-- NAME -->` and the next `<!-- end -->` is replaced; NAME is "speed" unless told.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

TIE = 0.05  # runtimes that are closer than this are not put in an order: so far apart may two runs of one of them be
FASTER = {-1: "tody is faster", 0: "a tie", 1: "tody is slower"}
END = "<!-- end -->"
PRECISION = {"fp32": "float32", "int8": "int8"}

Key = tuple[str, str, int]  # model, precision, threads


@dataclass
class Row:
    """One runtime on one model: least and median time of a run, time to load it, of the first run after that, memory."""

    model: str
    prec: str
    threads: int
    runtime: str
    version: str = ""
    min_ms: float | None = None
    med_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    peak_mib: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Ratio:
    """Our least time over that of the fastest other one. `verdict`: -1 faster, 0 a tie, 1 slower."""

    value: float
    peer: str

    @property
    def verdict(self) -> int:
        return 0 if abs(self.value - 1) <= TIE else 1 if self.value > 1 else -1


def ratio(rows: Iterable[Row]) -> Ratio | None:
    """None where tody or everything else was not measured."""
    times = {r.runtime: r.min_ms for r in rows if r.min_ms and not r.error}
    ours = times.pop("tody", None)
    if ours is None or not times:
        return None
    peer = min(times, key=lambda name: times[name])
    return Ratio(ours / times[peer], peer)


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(measured: dict[Key, list[Row]]) -> list[str]:
    """A line for each precision and number of threads: the mean of the ratios, and who was faster how often."""
    lines = []
    for prec, threads in sorted({key[1:] for key in measured}):
        ratios = [r for key, rows in measured.items() if key[1:] == (prec, threads) and (r := ratio(rows))]
        if ratios:
            counts = ", ".join(f"{text} on {sum(r.verdict == v for r in ratios)}" for v, text in FASTER.items())
            mean = geometric_mean([r.value for r in ratios])
            lines.append(f"{PRECISION[prec]}, {_threads(threads)}: {mean:.2f} x the fastest other runtime; {counts}")
    return lines


def read(lines: Iterable[str]) -> dict[Key, list[Row]]:
    """Rows by model, precision and threads, in the order of their first appearance."""
    known = {f.name for f in fields(Row)}
    latest: dict[tuple[str, str, int, str], Row] = {}
    for text in lines:
        values = json.loads(text)
        values["runtime"] = values["runtime"].strip("_")
        if "peak_mib" not in values and "rss_first" in values:
            values["peak_mib"] = values["rss_first"] - values["rss_import"]
        row = Row(**{name: value for name, value in values.items() if name in known})
        latest[row.model, row.prec, row.threads, row.runtime] = row
    measured: dict[Key, list[Row]] = {}
    for row in latest.values():
        measured.setdefault((row.model, row.prec, row.threads), []).append(row)
    return measured


def tables(measured: dict[Key, list[Row]], all_of_it: bool = True) -> list[str]:
    """The page's part: ratios at a glance, then times, then, for all of it, loading and memory."""
    kinds = sorted({key[1:] for key in measured})
    models = list(dict.fromkeys(key[0] for key in measured))
    out = ["Our least time over that of the fastest other runtime; below 1 tody is faster, and within 5 % of 1 nobody is.", ""]
    out += _header(["model", *(f"{PRECISION[prec]}, {_threads(threads)}" for prec, threads in kinds)])
    for model in models:
        found = [ratio(measured.get((model, *kind), [])) for kind in kinds]
        out.append(_line([model, *(f"{r.value:.2f} ({r.peer})" if r else "" for r in found)]))
    out += ["", *(f"- {text}" for text in summary(measured)), ""]
    for kind in kinds:
        rows = {model: measured[(model, *kind)] for model in models if (model, *kind) in measured}
        out += [f"### {PRECISION[kind[0]]}, {_threads(kind[1])}: least (median) ms", "", *_cells(rows, _time), ""]
    single = {model: measured[model, "fp32", 1] for model in models if (model, "fp32", 1) in measured}
    if single and all_of_it:
        out += ["### Load and first run, ms; float32, one thread", "", *_cells(single, _start), ""]
        out += ["### Memory for model and run, MiB; float32, one thread", "", *_cells(single, _memory), ""]
    return out


def _threads(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _header(cells: list[str]) -> list[str]:
    return [_line(cells), "|---" * len(cells) + "|"]


def _milliseconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 20 else f"{value:.1f}"


def _time(row: Row) -> str:
    return f"{_milliseconds(row.min_ms)} ({_milliseconds(row.med_ms)})" if row.min_ms and row.med_ms else ""


def _start(row: Row) -> str:
    return _milliseconds(row.load_ms + row.first_ms) if row.load_ms and row.first_ms else ""


def _memory(row: Row) -> str:
    return f"{row.peak_mib:.1f}" if row.peak_mib else ""


def _cells(rows: dict[str, list[Row]], show: Callable[[Row], str]) -> list[str]:
    runtimes = list(dict.fromkeys(r.runtime for group in rows.values() for r in group))
    out = _header(["model", *runtimes])
    for model, group in rows.items():
        shown = {r.runtime: show(r) for r in group}
        out.append(_line([model, *(shown.get(name, "") for name in runtimes)]))
    return out


def fill(page: str, lines: list[str], mark: str = "speed") -> str:
    """The page with other lines between the markers of that name.

    Raises:
        ValueError: it has no markers.
    """
    begin = f"<!-- {mark} -->\n"
    head, found, rest = page.partition(begin)
    _, ends, tail = rest.partition(END)
    if not found or not ends:
        raise ValueError(f"the page lacks {begin.strip()} or {END}")
    return head + begin + "\n".join(lines) + "\n" + END + tail


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.jsonl")
    parser.add_argument("--page", type=Path, help="put the tables into this page instead of printing them")
    parser.add_argument("--mark", default="speed", help="name of the markers in the page")
    parser.add_argument("--times", action="store_true", help="without the tables of loading and memory")
    args = parser.parse_args()
    measured = read(text for path in args.results for text in path.read_text().splitlines() if text.strip())
    lines = tables(measured, all_of_it=not args.times)
    if args.page:
        args.page.write_text(fill(args.page.read_text(), lines, args.mark))
    else:
        print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

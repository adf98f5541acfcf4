"""A report as one HTML page: no scripts, no fonts, nothing from anywhere else; readable on a phone, light and dark."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ..convert.report import size
from . import plots

if TYPE_CHECKING:
    from .report import CompressReport, Layer

PICTURED = 12  # layers with histograms: the worst
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60676f; --line: #d8dce0; --paper: #fff; --card: #f6f7f8;
  --accent: #2f6f5e; --warn: #b4552d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa2aa; --line: #343a40; --paper: #15181b;
  --card: #1e2226; --accent: #6fc2a8; --warn: #e8956b; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; padding: 1.2rem;
  max-width: 60rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem; margin: 1rem 0; }
.card { background: var(--card); border-radius: .6rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: anywhere; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.small svg { width: 100%; height: auto; }
.fit svg { max-width: 100%; height: auto; } figure { margin: 0; } figcaption { font-size: .85rem; overflow-wrap: anywhere; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); } .axis { stroke: var(--soft); } .grid { stroke: var(--line); }
.a { fill: var(--accent); } .float { fill: var(--soft); }
.mark { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: 4 3; }
"""


def page(report: CompressReport) -> str:
    """The whole page."""
    title = escape(f"{report.name}, compressed")
    sections = [_head(report), _cards(report), _points(report), _layers(report), _histograms(report), _tables(report)]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"<head>{meta}<title>{title}</title>\n<style>{_STYLE}</style></head>"
    body = "\n".join(filter(None, sections))
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n<body>\n{body}\n</body></html>\n'


def _head(report: CompressReport) -> str:
    options = ", ".join([f"weights: {report.kind}", *(f"{key} {value}" for key, value in report.options.items())])
    data = f"{report.data.get('calibration')} {report.data.get('kind')} to calibrate, {report.data.get('measuring')} to measure"
    source = f"from {report.source}; " if report.source else ""
    return (
        f"<h1>{escape(report.name)}</h1><p>{escape(source + options)}</p>"
        f'<p class="soft">{escape(str(report.data.get("source", "")))}: {escape(data)}</p>'
    )


def _cards(report: CompressReport) -> str:
    from .report import KIND_NAMES, METRIC_NAMES

    before, after, accuracy = report.before, report.after, report.accuracy
    cards = [
        (
            "file",
            size(after.file_bytes),
            f"{100 * after.file_bytes / max(before.file_bytes, 1):.1f} % of {size(before.file_bytes)}",
        ),
        ("memory", size(after.memory_bytes), f"before {size(before.memory_bytes)}"),
    ]
    if before.latency_ms is not None and after.latency_ms is not None:
        cards.append(("latency", f"{after.latency_ms:.2f} ms", f"before {before.latency_ms:.2f} ms; one thread, this machine"))
    if accuracy.metric == "agreement":
        cards.append(
            ("agreement", f"{accuracy.after:.4f}", f"{KIND_NAMES[accuracy.agreement.kind]}, {accuracy.samples} samples")
        )
    else:
        about = f"before {accuracy.before:.4f}; {-100 * accuracy.drop:+.2f} points on {accuracy.samples} samples"
        cards.append((METRIC_NAMES[accuracy.metric], f"{accuracy.after:.4f}", about))
    made = (f'<div class="card">{escape(a)}<b>{escape(b)}</b><span class="soft">{escape(c)}</span></div>' for a, b, c in cards)
    return f'<div class="cards">{"".join(made)}</div>'


def _points(report: CompressReport) -> str:
    if len(report.points) < 2:
        return ""
    rows = [(p.label, p.file_bytes / 2**20, p.accuracy) for p in report.points]
    return f'<h2>Size against accuracy</h2><div class="fit">{plots.scatter(rows, "MiB")}</div>'


def _layers(report: CompressReport) -> str:
    measured = [layer for layer in report.layers if layer.sqnr_db is not None]
    if not measured:
        return ""
    rows = [(f"{x.name} ({x.op})", x.sqnr_db or 0.0, "float" if x.bits == 32 else "a") for x in measured]
    about = "How close each layer's result is to the float model's, with all before it compressed. Grey ones stay in float32."
    return f'<h2>Layers</h2><p class="soft">{about}</p><div class="wide">{plots.bars(rows, "dB")}</div>'


def _histograms(report: CompressReport) -> str:
    figures = [_figure(layer) for layer in report.worst_layers if len(layer.seen) or len(layer.weights)][:PICTURED]
    if not figures:
        return ""
    about = (
        "What the worst layers produce, and their weights; counts are logarithmic. Dashed: the ends of the range that is kept."
    )
    return f'<h2>Worst layers</h2><p class="soft">{about}</p><div class="small">{"".join(figures)}</div>'


def _figure(layer: Layer) -> str:
    parts = []
    if len(layer.seen):
        marks = [v for v in (layer.low, layer.high) if v is not None]
        parts.append(plots.histogram("results", layer.seen, layer.seen_low, layer.seen_high, marks))
    if len(layer.weights):
        parts.append(plots.histogram("weights", layer.weights, layer.weights_low, layer.weights_high))
    text = f"{layer.name} ({layer.op}): {layer.sqnr_db:.1f} dB" + (f", range by {layer.method}" if layer.method else "")
    return f"<figure><figcaption>{escape(text)}</figcaption>{''.join(parts)}</figure>"


def _tables(report: CompressReport) -> str:
    outputs = [(o.name, f"{o.sqnr_db:.1f}", f"{o.cosine:.5f}", f"{o.largest:.4g}") for o in report.accuracy.agreement.outputs]
    layers = [
        (x.name, x.op, x.bits, _number(x.sqnr_db, ".1f"), _number(x.low, ".4g"), _number(x.high, ".4g"), x.method)
        for x in report.layers
    ]
    parts = [
        _table("Outputs against the float model", ("output", "SQNR dB", "cosine", "largest difference"), outputs),
        _table("In float32", ("value", "operator", "why"), [(i.name, i.op, i.reason) for i in report.islands]),
        _table("Notes", ("",), [(note,) for note in report.notes]),
        _table("Every layer", ("value", "operator", "bits", "SQNR dB", "low", "high", "range by"), layers),
    ]
    return "\n".join(filter(None, parts))


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    kinds = [' class="n"' if all(_is_number(row[i]) for row in cells) else "" for i in range(len(header))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, header, strict=True))
    lines = ("".join(f"<td{k}>{escape(c)}</td>" for k, c in zip(kinds, row, strict=True)) for row in cells)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<h2>{escape(title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _is_number(text: str) -> bool:
    return not text or text[:1].isdigit() or (text[:1] == "-" and len(text) > 1) or text == "inf"

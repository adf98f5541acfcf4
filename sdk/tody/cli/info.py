"""tody info: what a .tody file holds."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from .arguments import add_model
from .output import Output, size_text

NAME = "info"
HELP = "show what a .tody file holds"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--labels", action="store_true", help="list every label")


def _facts(path: Any, data: bytes) -> dict[str, Any]:
    """Everything about a file, as JSON would have it."""
    from .. import format

    file = format.read(data)
    meta = {key: value for key, value in file.meta.items() if key != "golden"}
    return {
        "path": str(path),
        "format": f"{data[4] | data[5] << 8}.{data[6] | data[7] << 8}",
        "bytes": len(data),
        "weights_bytes": len(file.weights),
        "arena_bytes": file.arena_bytes,
        "operators": dict(Counter(r.op for r in file.records).most_common()),
        "golden": bool(file.meta.get("golden")),
        **meta,
    }


def _port(port: dict[str, Any]) -> str:
    return f"{port.get('name')}  {port.get('dtype')}  {'x'.join(map(str, port.get('shape', [])))}"


def _preprocess(facts: dict[str, Any]) -> str:
    scale = f"(x - {facts.get('mean')}) / {facts.get('std')}"
    return f"{facts.get('width')}x{facts.get('height')} {facts.get('fit')} {facts.get('pixels')} {facts.get('layout')}, {scale}"


def run(args: argparse.Namespace, out: Output) -> int:
    from ..models import find

    path = find(args.model)
    facts = _facts(path, path.read_bytes())
    out.data(facts)
    licence = facts.get("licence", "licence not stated")
    out.line(f"{facts.get('name', path.stem)}: {size_text(facts['bytes'])}, format {facts['format']}, {licence}")
    for kind in ("inputs", "outputs"):
        for port in facts.get(kind, []):
            out.line(f"  {kind[:-1]:11} {_port(port)}")
    out.line(f"  memory      weights {size_text(facts['weights_bytes'])}, activations {size_text(facts['arena_bytes'])}")
    total = sum(facts["operators"].values())
    out.line(f"  operators   {total}: " + ", ".join(f"{name} {count}" for name, count in facts["operators"].items()))
    if "preprocess" in facts:
        out.line(f"  preprocess  {_preprocess(facts['preprocess'])}")
    if "decoder" in facts:
        out.line(f"  decoder     {facts['decoder'].get('name')}, score {facts.get('score')}, iou {facts.get('iou')}")
    labels = facts.get("labels", [])
    if labels:
        shown = labels if args.labels or len(labels) <= 8 else [*labels[:6], "…", labels[-1]]
        out.line(f"  labels      {len(labels)}: {', '.join(shown)}")
    for key, value in facts.get("provenance", {}).items():
        out.line(f"  {key:11} {value}")
    return 0

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
    parser.add_argument(
        "--target",
        metavar="BOARD|CPU|board.toml",
        help="also what it needs of a chip, such as cortex-m4, and which boards can hold it",
    )
    parser.add_argument("--labels", action="store_true", help="list every label")


def _facts(path: Any, data: bytes) -> dict[str, Any]:
    """Everything about a file, as JSON would have it."""
    from .. import budget, format

    plain = format.plain(data)
    file, header = format.read(plain), format.read_header(data)
    meta = {key: value for key, value in file.meta.items() if key != "golden"}
    return {
        "path": str(path),
        "format": f"{header.major}.{header.minor}",
        "coded": header.coded,
        "bytes": len(data),
        "plain_bytes": len(plain),
        "sizes": {name: part._asdict() for name, part in budget.parts(data).items()},
        "weights_bytes": len(file.weights),
        "arena_bytes": file.arena_bytes,
        "operators": dict(Counter(r.op for r in file.records).most_common()),
        **_precision(file),
        "golden": bool(file.meta.get("golden")),
        **meta,
    }


def _precision(file: Any) -> dict[str, Any]:
    """int8 or int16 if any operator computes in it, and then which others compute in float32; casts between both aside."""
    results = [(r.op, next(i for i in r.outputs if i is not None)) for r in file.records if r.op != "strips"]
    made = [(op, file.tensors[i].dtype) for op, i in results]
    integers = [name for name in ("int8", "int16") if any(dtype == name for _, dtype in made)]
    if not integers:
        return {"precision": "float32"}
    left = Counter(op for op, dtype in made if dtype == "float32" and op != "cast")
    return {"precision": integers[-1], "float32_operators": dict(left.most_common())}


def _text(value: Any) -> str:
    """A value of the metadata, whatever it is: numbers short, lists with commas, entries with colons."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _port(port: dict[str, Any]) -> str:
    return f"{port.get('name')}  {port.get('dtype')}  {'x'.join(map(str, _list(port.get('shape'))))}"


def _preprocess(facts: dict[str, Any]) -> str:
    scale = f"(x - [{_text(facts.get('mean'))}]) / [{_text(facts.get('std'))}]"
    return f"{facts.get('width')}x{facts.get('height')} {facts.get('fit')} {facts.get('pixels')} {facts.get('layout')}, {scale}"


def _decoder(facts: dict[str, Any]) -> str:
    limits = "".join(f", {key} {_text(facts[key])}" for key in ("score", "iou") if key in facts)
    return f"{_dict(facts.get('decoder')).get('name')}{limits}"


def _sizes(facts: dict[str, Any]) -> str:
    """What the file is made of, largest first; of a coded one what is stored, of what it stands for."""
    parts = sorted(facts["sizes"].items(), key=lambda part: -int(part[1]["stored"]))
    plain = {name: f" of {size_text(part['plain'])}" if facts["coded"] else "" for name, part in parts}
    return ", ".join(f"{name} {size_text(part['stored'])}{plain[name]}" for name, part in parts)


def _target_lines(wanted: dict[str, Any]) -> list[str]:
    """What a chip must have, and a line for each board."""
    ops = ", ".join(f"{op} {'/'.join(dtypes)}" for op, dtypes in wanted["operators"].items())
    lines = [
        f"  on chips    {wanted['target']}, {wanted['kernels']} kernels, pointers of 4 bytes",
        f"  RAM         {wanted['ram']:,} bytes: {wanted['arena']:,} arena, {wanted['scratch']:,} scratch",
        f"  flash       {wanted['flash']:,} bytes",
        f"  needs       {ops}",
    ]
    for board in wanted["boards"]:
        verdict = "; ".join(board["problems"]) or f"can hold it: {board['ram']:,} bytes of RAM, {board['slot']:,} of a slot"
        lines.append(f"  {board['board']:11} {verdict}")
    return lines


def _dict(value: Any) -> dict[str, Any]:
    """The value, if the metadata has it as it should; an empty one otherwise, as the file may come from anywhere."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def run(args: argparse.Namespace, out: Output) -> int:
    from .. import format
    from ..errors import ModelError
    from ..flash.targets import demands
    from ..models import find

    path = find(args.model)
    try:
        data = path.read_bytes()
        facts = _facts(path, data)
        if args.target:
            facts["target"] = demands(bytes(format.plain(data)), args.target)
    except ModelError as e:
        raise ModelError(f"{path}: {e.what}", e.why, e.hint) from e
    out.data(facts)
    licence = facts.get("licence", "licence not stated")
    coded = f" coded, {size_text(facts['plain_bytes'])} plain" if facts["coded"] else ""
    out.line(f"{facts.get('name', path.stem)}: {size_text(facts['bytes'])}{coded}, format {facts['format']}, {licence}")
    for kind in ("inputs", "outputs"):
        for port in _list(facts.get(kind)):
            out.line(f"  {kind[:-1]:11} {_port(_dict(port))}")
    out.line(f"  memory      weights {size_text(facts['weights_bytes'])}, activations {size_text(facts['arena_bytes'])}")
    out.line(f"  made of     {_sizes(facts)}")
    total = sum(facts["operators"].values())
    out.line(f"  operators   {total}: " + ", ".join(f"{name} {count}" for name, count in facts["operators"].items()))
    left = ", ".join(f"{name} {count}" for name, count in facts.get("float32_operators", {}).items())
    out.line(f"  precision   {facts['precision']}{f', but in float32: {left}' if left else ''}")
    if "preprocess" in facts:
        out.line(f"  preprocess  {_preprocess(_dict(facts['preprocess']))}")
    if "decoder" in facts:
        out.line(f"  decoder     {_decoder(facts)}")
    labels = _list(facts.get("labels"))
    if labels:
        shown = labels if args.labels or len(labels) <= 8 else [*labels[:6], "…", labels[-1]]
        out.line(f"  labels      {len(labels)}: {_text(shown)}")
    for key, value in _dict(facts.get("provenance")).items():
        out.line(f"  {key:11} {_text(value)}")
    for line in _target_lines(facts["target"]) if args.target else []:
        out.line(line)
    return 0

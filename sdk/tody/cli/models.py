"""tody models: real models with their licences, one command away."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import size
from .output import Output, size_text, table

NAME = "models"
HELP = "list and get real models (list, get NAME, info NAME, path NAME)"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "get", "info", "path"), default="list", help="list is the default"
    )
    parser.add_argument("name", nargs="?", help="a name of the list")
    parser.add_argument("--size", type=size, metavar="WxH", help="get: another size of the input, where the model can have one")
    parser.add_argument("--offline", action="store_true", help="get: use only what the cache has")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError

    if args.action == "list":
        return _list(out)
    if not args.name:
        raise UsageError(f"tody models {args.action} needs a name", "no model was named", "tody models lists them")
    return {"get": _get, "info": _info, "path": _path}[args.action](args, out)


def _list(out: Output) -> int:
    from .. import models

    here = {p.stem: p for p in models.cached()}
    entries = models.catalogue()
    out.data(
        {
            "catalogue": [{**e.as_dict(), "cached": name in here} for name, e in entries.items()],
            "cached": [{"name": name, "path": str(p), "bytes": p.stat().st_size} for name, p in here.items()],
            "cache": str(models.cache_dir()),
        }
    )
    rows = [(name, "yes" if name in here else "", e.licence, e.about) for name, e in entries.items()]
    for line in table(("NAME", "HERE", "LICENCE", "WHAT"), rows):
        out.line(line)
    for name, path in here.items():
        if name not in entries:
            out.line(f"{name}: in the cache, {size_text(path.stat().st_size)}")
    out.line("get one: tody models get NAME")
    return 0


def _get(args: argparse.Namespace, out: Output) -> int:
    from .. import models

    path = models.get(args.name, args.size, args.offline, out.note)
    out.data({"name": path.stem, "path": str(path), "bytes": path.stat().st_size})
    out.line(f"{path.stem}: {path} ({size_text(path.stat().st_size)})")
    out.note(f"next: tody detect {path.stem} 0 --web :8080")
    return 0


def _info(args: argparse.Namespace, out: Output) -> int:
    from .. import models

    entry = models.entry(args.name)
    out.data(entry.as_dict())
    out.line(f"{entry.name}: {entry.about}")
    width = f"{entry.width}x{entry.height}" + (f", or any multiple of {entry.multiple}" if entry.multiple else "")
    picture = f"{entry.preprocess['fit']}, {entry.preprocess['pixels']}, {entry.preprocess['layout']}"
    facts = {
        "licence": entry.licence,
        "source": entry.source,
        "package": f"{entry.package}, {entry.package.file}",
        "sha-256": entry.sha256,
        "input": f"{entry.input}, {width}, {picture}",
        "decoder": entry.decoder["name"],
        "labels": ", ".join(entry.labels),
    }
    for key, value in facts.items():
        out.line(f"  {key:8} {value}")
    return 0


def _path(args: argparse.Namespace, out: Output) -> int:
    from .. import models

    path: Path = models.find(args.name)
    out.data({"name": path.stem, "path": str(path)})
    out.line(str(path))
    return 0

"""Commands that have verbs below them, such as `tody keys init`."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .laptop import add_fleet
from .output import Output


class Part(NamedTuple):
    """A verb below a command."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Output], int]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json, which every command takes, before its name or behind it."""
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, one object a line; errors too"
    )


def add_parts(parser: argparse.ArgumentParser, command: str, parts: Mapping[str, Part]) -> None:
    """Add verbs that work on a fleet's folder; which one it is stands in `part` afterwards."""
    below = parser.add_subparsers(dest="part", metavar="PART", required=True, help=f"tody {command} PART --help says more")
    for name, part in parts.items():
        about = part.help[0].upper() + part.help[1:] + "."
        verb = below.add_parser(name, help=part.help, description=about, allow_abbrev=False)
        part.arguments(verb)
        add_fleet(verb)
        add_json(verb)

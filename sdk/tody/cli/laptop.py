"""Arguments of every command that works on a fleet's folder: which fleet, and where the passphrase comes from."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..fleet.laptop.laptop import Laptop


def add_fleet(parser: argparse.ArgumentParser) -> None:
    text = "the fleet's folder; otherwise the only one in ~/.config/tody/fleets"
    parser.add_argument("--fleet-dir", type=Path, metavar="DIR", help=text)


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    text = "its first line is the passphrase; otherwise TODY_PASSPHRASE, or what you type"
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help=text)


def laptop(args: argparse.Namespace) -> Laptop:
    """The fleet that is meant.

    Raises:
        UsageError: there is none, or several.
    """
    from ..fleet.laptop.laptop import Laptop

    return Laptop.load(args.fleet_dir)


def asker(args: argparse.Namespace) -> Callable[[str], str]:
    """What is called when a passphrase is needed, with its purpose."""
    from ..fleet.laptop.keys import passphrase_from_environment

    file: Path | None = args.passphrase_file
    return (lambda purpose: file.read_text().partition("\n")[0]) if file else passphrase_from_environment

"""tody keeper: keeps a broker full and its timestamp fresh, with one key that can do nothing else."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

from .laptop import add_fleet, add_passphrase, asker, laptop
from .output import Output

NAME = "keeper"
HELP = "beside the broker: put everything back after a restart that emptied it, and renew the timestamp every day"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="look once, do what is needed, and end")
    add_fleet(parser)
    add_passphrase(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop.keeper import CLIENT, Keeper, keep

    fleet, ask = laptop(args), asker(args)

    def say(text: str) -> None:
        out.data({"keeper": text})
        out.line(text)

    if not args.once:
        out.note(f"keeping {fleet.broker} for the fleet {fleet.fleet}")
        keep(fleet, ask, say)
    with fleet.link(CLIENT) as link:
        say(Keeper(fleet, ask, link, out.note).look() or "nothing to do")
    return 0

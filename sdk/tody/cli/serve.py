"""tody serve: a Linux board answers on a serial port as a microcontroller does."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import platform
import shutil
from pathlib import Path

from .output import Output

NAME = "serve"
HELP = "let a laptop flash, run and watch models on this Linux board, over a serial port or USB cable"
_BUFFER = 1 << 14  # bytes of a packet
_MODEL = Path("/proc/device-tree/model")


def arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--serial", metavar="PORT", help="the port to answer on: /dev/ttyGS0, /dev/serial0?baud=115200")
    where.add_argument("--pty", type=Path, metavar="LINK", help="a new pseudo-terminal, and a link to it, to try this out")
    parser.add_argument("--store", type=Path, metavar="DIR", help="the device's folder (default: /var/lib/tody for root)")
    parser.add_argument("--service", default="", metavar="UNIT", help="the systemd unit that a reset restarts")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError
    from ..flash import serve
    from ..flash.address import parse
    from ..flash.server import Server
    from ..fleet.device.agent import locked
    from ..fleet.device.identity import default_store
    from ..fleet.device.needs import available_memory
    from ..fleet.device.shelf import StoreShelf
    from ..fleet.disk import FolderDisk

    address = parse(f"serial:{args.serial}") if args.serial else None
    if address and address.where == "auto":
        raise UsageError("which port?", "auto is for laptops", "--serial /dev/ttyGS0")
    store = args.store or default_store()
    board = _MODEL.read_text().rstrip("\0") if _MODEL.exists() else platform.node()
    if address:
        with serve.opened(address):  # what is wrong with it shall be told now
            pass
    with locked(store):
        shelf = StoreShelf(FolderDisk(store), lambda: shutil.disk_usage(store).free, args.service)
        server = Server(shelf, board, platform.machine(), available_memory() or 1 << 30, _BUFFER)
        out.line(f"{board} answers on {args.serial or args.pty}, store {store}")
        out.data({"board": board, "address": str(args.serial or args.pty), "store": str(store)})
        if address:
            serve.answer_for_ever(address, server)
        with serve.pseudo_terminal(args.pty) as port:
            serve.answer(port, server)
    return 0

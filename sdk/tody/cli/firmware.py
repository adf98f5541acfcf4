"""tody firmware: the program that runs on a microcontroller, built, emulated, or put on a board."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from pathlib import Path

from .output import Output, size_text, table

NAME = "firmware"
HELP = "build the firmware of a board, run it in an emulator, or put it on the board"
_DOES = ("list", "build", "run", "flash")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=_DOES, metavar="{list,build,run,flash}", help="what to do")
    parser.add_argument("board", nargs="?", help="a folder of firmware/boards; tody firmware list names them")
    parser.add_argument("--flash", metavar="FILE", help="run: the file that is the board's flash (default: BOARD.flash)")
    where = "run: its serial port, as QEMU names them; of host: a link to make (default: a new terminal)"
    parser.add_argument("--serial", default="pty", metavar="WHERE", help=where)
    parser.add_argument("--volume", default="", metavar="FOLDER", help="flash: where the board's drive is mounted")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError
    from ..flash import boards, firmware

    if args.do == "list":
        return _list(out)
    if not args.board:
        raise UsageError("which board?", f"tody firmware {args.do} needs its name", "tody firmware list")
    board = boards.find(args.board)
    elf = firmware.build(board)
    size = firmware.sizes(elf)
    out.data({"board": board.name, "elf": str(elf), "bytes": size})
    out.line(f"{board.name}: {elf}" + (f", {size_text(size)} of flash" if size else ""))
    if args.do == "flash":
        out.line(firmware.program(board, args.volume))
    return firmware.run(board, Path(args.flash or f"{board.name}.flash"), args.serial) if args.do == "run" else 0


def _list(out: Output) -> int:
    from ..flash.boards import boards

    found = boards()
    out.data({"boards": [{"name": b.name, "about": b.about, "cpu": b.cpu, "usb": list(b.usb)} for b in found]})
    for line in table(("BOARD", "CPU", ""), [(b.name, b.cpu, b.about) for b in found]):
        out.line(line)
    return 0

"""The boards that firmware can be built for: what firmware/boards/BOARD/board.toml says."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError


@dataclass(frozen=True)
class Board:
    """A folder of firmware/boards.

    Attributes:
        usb: its ids, as vendor:product in hex.
        flash_file: bytes of the file that stands for its flash, where the emulator wants it to be there; 0: it makes it.
        qemu: the command that emulates it, with {flash}, {serial} and {elf}; "": none.
        slot_bytes, ram_bytes: of a slot in flash, and of all RAM.
        program: the command that puts firmware on it, with {elf}, {bin} and {uf2}; "": none.
    """

    name: str
    about: str
    cpu: str
    usb: tuple[str, ...]
    qemu: str
    program: str
    firmware: Path
    flash_file: int = 0
    slot_bytes: int = 0
    ram_bytes: int = 0

    @property
    def build(self) -> Path:
        """The folder that its firmware is built into."""
        return self.firmware.parent / "build" / "firmware" / self.name


def firmware_folder() -> Path:
    """The folder firmware/ of tody's sources: TODY_FIRMWARE, or above the current folder or this file.

    Raises:
        UsageError: there is none.
    """
    here = [Path(os.environ["TODY_FIRMWARE"])] if "TODY_FIRMWARE" in os.environ else []
    above = (p / "firmware" for start in (Path.cwd(), Path(__file__).resolve()) for p in (start, *start.parents))
    for folder in (*here, *above):
        if (folder / "boards").is_dir() and (folder / "Makefile").is_file():
            return folder.resolve()
    why = "the Python package does not contain it"
    raise UsageError("the sources of the firmware are not here", why, "run this in a checkout of tody, or set TODY_FIRMWARE")


def boards() -> list[Board]:
    """All boards, by name."""
    firmware = firmware_folder()
    return [_read(path, firmware) for path in sorted((firmware / "boards").glob("*/board.toml"))]


def find(name: str) -> Board:
    """The board of a name.

    Raises:
        UsageError: there is none.
    """
    known = boards()
    for board in known:
        if board.name == name:
            return board
    raise UsageError(f"there is no board {name!r}", "known are " + ", ".join(b.name for b in known), "docs/adding.md: a board")


def read(path: Path) -> Board:
    """The board of a file board.toml; its firmware is that of the checkout it lies in, else that of `firmware_folder`."""
    above = (folder for folder in path.resolve().parents if (folder / "Makefile").is_file() and (folder / "boards").is_dir())
    return _read(path, next(above, None) or firmware_folder())


def operators(firmware: Path) -> list[str]:
    """Names of those that firmware has unless it is built with others: OPS of firmware/Makefile."""
    found = re.search(r"^OPS \?= (.+)$", (firmware / "Makefile").read_text(), re.M)
    return found[1].split() if found else []


def parse(text: str) -> dict[str, Any]:
    """The settings of a flat file of TOML: numbers, strings and lists, one a line."""
    return {m[1]: json.loads(m[2]) for m in re.finditer(r"^(\w+)\s*=\s*(.+?)\s*$", text, re.M)}


def _read(path: Path, firmware: Path) -> Board:
    try:
        facts = parse(path.read_text())
        usb = tuple(str(i) for i in facts.get("usb", []))
        name, about, cpu, qemu, program = (str(facts.get(k, "")) for k in ("name", "about", "cpu", "qemu", "program"))
        sizes = (int(facts.get(k, 0)) for k in ("flash_file", "slot_bytes", "ram_bytes"))
        return Board(name, about, cpu, usb, qemu, program, firmware, *sizes)
    except (OSError, ValueError, AttributeError) as e:
        raise UsageError(f"{path} cannot be read", str(e), "it is flat TOML: docs/adding.md") from e

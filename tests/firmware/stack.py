"""How much RAM firmware takes for itself on an emulated Cortex-M: its data, and the stack as deep as it has gone."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from emulate import command, connect, free_port, started

from tody.flash.boards import Board
from tody.flash.device import Device

PAINT = 0xA5  # what the stack holds where nothing was pushed


@dataclass(frozen=True)
class Painted:
    """A board whose stack was painted before it started.

    Attributes:
        stack, data, end: addresses; the stack lies from the first to the second, data from there to the last.
        port: of the emulator's machine protocol (QMP).
        folder: where its memory may be written to.
    """

    device: Device
    stack: int
    data: int
    end: int
    port: int
    folder: Path

    @property
    def data_bytes(self) -> int:
        return self.end - self.data

    def stack_bytes(self) -> int:
        """From the end of the stack to the last place that does not hold paint any more."""
        dump = self.folder / "stack.bin"
        place = {"val": self.stack, "size": self.data - self.stack, "filename": str(dump)}
        with socket.create_connection(("127.0.0.1", self.port)) as s, s.makefile("rw") as line:
            line.readline()
            for message in ({"execute": "qmp_capabilities"}, {"execute": "pmemsave", "arguments": place}):
                line.write(json.dumps(message) + "\n")
                line.flush()
                answer = next(a for a in map(json.loads, line) if "event" not in a)
                assert "return" in answer, answer
        return len(dump.read_bytes().lstrip(bytes([PAINT])))


def _sections(elf: Path) -> dict[str, tuple[int, int]]:
    """Size and address of each section."""
    listed = subprocess.run(["arm-none-eabi-size", "-A", elf], capture_output=True, text=True, check=True).stdout
    return {name: (int(size), int(at)) for name, size, at in re.findall(r"^(\.\w+)\s+(\d+)\s+(\d+)$", listed, re.M)}


@contextmanager
def painted(board: Board, folder: Path) -> Iterator[Painted]:
    """The board in QEMU, with its flash in the folder."""
    elf, flash, paint, line, port = board.build / "tody.elf", folder / "flash.img", folder / "paint", free_port(), free_port()
    sections = _sections(elf)
    size, stack = sections[".stack"]
    paint.write_bytes(bytes([PAINT]) * size)
    words = [str(elf.with_suffix(".bin")) if w == str(elf) else w for w in command(board, flash, line)]  # it claims no RAM
    words += ["-device", f"loader,file={paint},addr={stack:#x},force-raw=on"]
    words += ["-qmp", f"tcp:127.0.0.1:{port},server=on,wait=off"]
    with started(words, flash), connect(f"socket://127.0.0.1:{line}") as device:
        yield Painted(device, stack, stack + size, sum(sections[".bss"]), port, folder)

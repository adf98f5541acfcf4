"""Build the firmware of a board, run it in an emulator, or put it on the board with the tool that the board needs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from ..errors import DeviceError, TodyError, UsageError
from .boards import Board

_QEMU_SERIAL = re.compile(r"(pty|stdio|null|none|vc)$|/dev/|\w+:")  # what its -serial takes
_UF2_VOLUMES = ("/media", "/run/media", "/Volumes", "/mnt")


def build(board: Board) -> Path:
    """Compile; returns tody.elf. Of those that build a board at once each waits for the one before.

    Raises:
        UsageError: make or the compiler is not installed.
        TodyError: it does not compile.
    """
    if not shutil.which("make"):
        raise UsageError("firmware cannot be built", "the program make was not found", "apt-get install make")
    command = ["make", "-s", "-C", str(board.firmware), f"BOARD={board.name}"]
    with (board.firmware / "boards" / board.name / "board.toml").open() as settings:
        fcntl.flock(settings, fcntl.LOCK_EX)
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
        if any("not found" in line for line in said):
            hint = "docs/flash.md names the packages of each board's compiler"
            raise UsageError(f"the compiler of {board.name} is not installed", said[0], hint)
        raise TodyError(f"the firmware of {board.name} does not compile", said[-1], " ".join(command))
    return board.build / "tody.elf"


def sizes(elf: Path) -> int:
    """Bytes of the program as it lies in flash; 0 where there is no flat image of it."""
    image = elf.with_suffix(".bin")
    return image.stat().st_size if image.exists() else 0


def emulator(board: Board, flash: Path, serial: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs a board's firmware here, and what its environment has besides.

    Args:
        flash: the file that stands for its flash; made, empty, if the emulator wants it to be there.
        serial: "pty", or what QEMU's -serial takes, such as tcp:127.0.0.1:4000,server=on,wait=off. Of the board "host": a
            symbolic link that is made to its terminal.

    Raises:
        UsageError: the board is not emulated, the emulator is not installed, or has no such serial port.
    """
    elf = board.build / "tody.elf"
    if board.name == "host":
        return [str(elf)], {"TODY_FLASH": str(flash), **({} if serial == "pty" else {"TODY_LINE": serial})}
    if not board.qemu:
        raise UsageError(f"{board.name} cannot be run here", "no emulator is known for it", "tody firmware flash " + board.name)
    if not _QEMU_SERIAL.match(serial):
        why = "QEMU makes no link to a terminal: it takes pty, stdio, tcp:.., unix:.. or a device"
        hint = f"tody firmware run {board.name} --serial tcp:127.0.0.1:4000,server=on,wait=off"
        raise UsageError(f"{serial!r} is no serial port for {board.name}", why, hint)
    words = [w.format(flash=flash, serial=serial, elf=elf) for w in shlex.split(board.qemu)]
    if not shutil.which(words[0]):
        raise UsageError(f"{board.name} cannot be run here", f"{words[0]} was not found", "apt-get install qemu-system-arm")
    if board.flash_file and not flash.exists():
        with flash.open("wb") as file:
            file.truncate(board.flash_file)
    return words, {}


def run(board: Board, flash: Path, serial: str) -> int:
    """Run the firmware here until it ends or Ctrl-C; returns its exit code."""
    command, env = emulator(board, flash, serial)
    process = subprocess.Popen(command, env={**os.environ, **env}, stdin=subprocess.PIPE)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.kill()
        process.wait()


def program(board: Board, volume: str = "") -> str:
    """Put the firmware on a board; returns what was done.

    Args:
        volume: where the board's drive is mounted, for boards that take UF2 files; "": looked for.

    Raises:
        UsageError: the board cannot be programmed, or its tool is not installed.
        DeviceError: the tool failed, or the drive is not there.
    """
    elf = board.build / "tody.elf"
    uf2 = elf.with_suffix(".uf2")
    if board.program.startswith("uf2"):
        target = Path(volume) if volume else _uf2_volume(board)
        shutil.copy(uf2, target / uf2.name)
        return f"{uf2.name} copied to {target}"
    if not board.program:
        raise UsageError(f"{board.name} needs no programming", "it is emulated", f"tody firmware run {board.name}")
    words = [w.format(elf=elf, bin=elf.with_suffix(".bin"), uf2=uf2) for w in shlex.split(board.program)]
    if not shutil.which(words[0]):
        raise UsageError(f"{board.name} cannot be programmed", f"{words[0]} was not found", f"install {words[0]}")
    if subprocess.run(words).returncode:
        raise DeviceError(f"{board.name} was not programmed", f"{words[0]} failed", " ".join(words))
    return f"{words[0]} programmed {elf.name}"


def _uf2_volume(board: Board) -> Path:
    """The drive that a board in its boot loader shows."""
    roots = [Path(r) for r in _UF2_VOLUMES if Path(r).is_dir()]
    found = [p.parent for r in roots for depth in ("*", "*/*") for p in r.glob(f"{depth}/INFO_UF2.TXT")]
    if len(found) != 1:
        why = "no drive of a boot loader is mounted" if not found else "more than one: " + ", ".join(map(str, found))
        raise DeviceError(
            f"{board.name} is not ready to be programmed", why, "hold BOOTSEL while plugging it in, or use --volume"
        )
    return found[0]

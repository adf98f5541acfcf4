"""Power cuts at exact stores of an emulated chip: chipcut.py [EVERY] sweeps all of them, or each EVERY-th."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE
from tody.flash import boards

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "tests" / "chip"
BOARD = "mps2-an385"
FLASH_AT, FLASH_BYTES = 0x21000000, 4 << 20
BOOTS = 2  # starts after the last cut


class WrongModel(AssertionError):
    """A start after a cut runs what it must not."""


@dataclass
class Truth:
    """What the lines of a chip say: which models may run when the power comes back."""

    confirmed: str
    allowed: set[str]

    def read(self, text: str, where: str) -> bool:
        """Take the lines of one run; whether it came to its end."""
        for line in text.splitlines():
            verb, _, model = line.partition(" ")
            if verb in ("runs", "done") and model not in self.allowed:
                raise WrongModel(f"{model} runs instead of {sorted(self.allowed)} after {where}")
            if verb == "activating":
                self.allowed = {self.confirmed, model}
            elif verb == "confirmed":
                self.confirmed, self.allowed = model, {model}
            elif model == "!":
                raise WrongModel(f"the store fails in {verb!r} after {where}")
        return "done" in text


def build() -> None:
    """The chip's program and the plugin."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = ["make", "-s", "-C", str(ROOT / "firmware"), f"BOARD={BOARD}", "OPS=conv", f"OUT={BUILD}"]
    plugin = ["gcc", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", str(ROOT / "tests/firmware/powercut.c")]
    for command in ([*program, "APP=../tests/firmware/chip"], [*plugin, "-o", str(BUILD / "powercut.so")]):
        subprocess.run(command, check=True, capture_output=True)


def plugin(n: int) -> list[str]:
    """Options of QEMU that kill it at the n-th store into the flash."""
    return ["-plugin", f"{BUILD / 'powercut.so'},base={FLASH_AT:#x},size={FLASH_BYTES:#x},n={n}"]


def run(flash: Path, letter: str, cut: int = 0) -> str:
    """What the chip says until it ends, or until the `cut`-th store into its flash (0: none)."""
    words = shlex.split(boards.find(BOARD).qemu)
    words = [w.format(flash=flash, serial="stdio", elf=BUILD / "tody.elf") for w in words]
    words += ["-semihosting-config", "enable=on,target=native"]
    words += plugin(cut) if cut else []
    return subprocess.run(words, input=letter, capture_output=True, text=True, timeout=PATIENCE).stdout


def prepare(folder: Path) -> Path:
    """A flash with model A, confirmed."""
    flash = folder / "prepared.img"
    flash.touch()
    assert Truth("-", {"-", "A"}).read(run(flash, "p"), "nothing")
    return flash


def cut(prepared: Path, folder: Path, first: int, second: int = 0) -> bool:
    """Cut an update at a store, go on, cut again at the second-th store of that (0: not). False: it ends before the cut.

    Raises:
        WrongModel: a model runs that must not, or none.
    """
    flash, truth = folder / "flash.img", Truth("A", {"A"})
    subprocess.run(["cp", "--sparse=always", prepared, flash], check=True)
    if truth.read(run(flash, "u", first), "nothing"):
        return False
    if second:
        truth.read(run(flash, "u", second), f"a cut at {first}")
    for _ in range(BOOTS - 1):
        truth.read(run(flash, "c"), f"cuts at {first} and {second}")
    assert truth.read(run(flash, "u"), f"cuts at {first} and {second}")
    return True


def sweep(every: int, seed: int) -> int:
    """Cut at each `every`-th store, once more at another; the number of cuts."""
    cuts, chance = 0, random.Random(seed)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        prepared = prepare(folder)
        first = 1 + seed % every
        while cut(prepared, folder, first, chance.randrange(1, 4000)):
            cuts += 2
            first += every
            if cuts % 200 == 0:
                print(f"{cuts} cuts, the last at store {first}", flush=True)
    print(f"{cuts} cuts up to store {first}, 0 without a model that runs, 0 with a wrong one")
    return cuts


if __name__ == "__main__":
    for tool in ("qemu-system-arm", "arm-none-eabi-gcc", "gcc"):
        assert shutil.which(tool), f"{tool} is not installed"
    build()
    sweep(int(sys.argv[1]) if len(sys.argv) > 1 else 1, int(sys.argv[2]) if len(sys.argv) > 2 else 0)

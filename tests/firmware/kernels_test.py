"""The kernels of microcontrollers against portable ones, on emulated chips: equal bytes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["tests/firmware/kernels.c", "tests/kernels/memory.c", "tests/kernels/integers.c", "tests/kernels/sparse.c"]
SOURCES += ["runtime/core/pick.c", "runtime/kernels/portable/*.c", "runtime/kernels/cortexm/*.c", "runtime/kernels/helium/*.c"]
FOLDERS = ["tests", "tests/kernels", "runtime", "runtime/include", "runtime/core"]
# Chip -> compiler flags, machine, its large RAM, sets of kernels and how many slots of integers each of them has.
M55 = ["-mcpu=cortex-m55", "-mfloat-abi=hard"]
DSP = "-DSET=tody_kernels_cortexm"
CHIPS = {
    "cortex-m4": (["-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", DSP], "mps2-an386", 0x21000000, "dsp: 3"),
    "cortex-m7": (["-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16", DSP], "mps2-an500", 0x60000000, "dsp: 3"),
    "without FPU": (["-mcpu=cortex-m4", "-mfloat-abi=soft", DSP], "mps2-an386", 0x21000000, "dsp: 3"),
    "cortex-m55, DSP": ([*M55, DSP], "mps3-an547", 0x60000000, "dsp: 3"),
    "cortex-m55": ([*M55, "-DSET=tody_kernels_helium"], "mps3-an547", 0x60000000, "helium: 6"),
}


def build(flags: list[str], ram: int, folder: Path, *more: Path) -> Path:
    """A program with the C library picolibc, whose input and output the emulator provides."""
    memory = {"__flash": 0, "__flash_size": 1 << 22, "__ram": ram, "__ram_size": 15 << 20, "__stack_size": 1 << 14}
    command = ["arm-none-eabi-gcc", "-O2", "-std=c11", "-mthumb", "-Wall", "-Wextra", "-ffp-contract=off", *flags]
    command += ["--specs=picolibc.specs", "--oslib=semihost", "--crt0=hosted"]
    command += [f"-Wl,--defsym={name}={value:#x}" for name, value in memory.items()]
    command += [f"-I{folder}" for folder in FOLDERS] + [str(p) for pattern in SOURCES for p in sorted(ROOT.glob(pattern))]
    command += [str(p) for p in more]
    program = folder / "kernels.elf"
    done = subprocess.run([*command, "-o", str(program), "-lm"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def outcome(flags: list[str], machine: str, ram: int, folder: Path, *more: Path) -> tuple[int, str]:
    """Exit code and words of the checks of a set on an emulated chip."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if not Path("/usr/lib/picolibc/arm-none-eabi").exists():
        pytest.skip("picolibc-arm-none-eabi is not installed")
    emulator = ["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none", "-serial", "none"]
    emulator += ["-semihosting-config", "enable=on,target=native", "-kernel", str(build(flags, ram, folder, *more))]
    done = subprocess.run(emulator, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("chip", CHIPS)
def test_kernels_agree_with_portable(chip: str, tmp_path: Path) -> None:
    flags, machine, ram, slots = CHIPS[chip]
    code, said = outcome(flags, machine, ram, tmp_path)
    assert code == 0 and f"{slots} slots, 0 failures" in said, said


def test_a_byte_behind_the_results_is_seen(tmp_path: Path) -> None:
    flags, machine, ram, _ = CHIPS["without FPU"]
    stray = [*flags[:-1], "-DSET=tody_kernels_stray"]
    code, said = outcome(stray, machine, ram, tmp_path, ROOT / "tests/firmware/stray.c")
    assert code == 1 and "wrote 0 bytes behind memory" in said and "portable" not in said, said

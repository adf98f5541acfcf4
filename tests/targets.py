"""Machines that the tests' C programs are built for and run on: this one, and others by emulation."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from patience import PATIENCE
from sharing import cmake

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Target:
    """A compiler, and the emulator that runs what it makes (`emulator` empty: this machine does)."""

    name: str
    processor: str  # as CMake names it
    compiler: str
    emulator: tuple[str, ...]
    kernels: str  # the set that the CPU must get
    by_avx2: bool = False  # kernels beyond AVX2 are compiled for AVX2 (tests/emulated)

    def build(self, sanitizer: str = "", target: str = "all") -> Path:
        """The folder of the programs, or of one of them; skips the test where a tool or the CPU for it is missing."""
        if self.processor == "x86_64" and platform.machine() != "x86_64":
            pytest.skip("needs a native x86-64 compiler")
        if self.by_avx2 and own_kernels() == "portable":
            pytest.skip("needs a CPU with AVX2")
        for tool in ("cmake", self.compiler, *self.emulator[:1]):
            if not shutil.which(tool):
                pytest.skip(f"{tool} is not installed")
        return build(self.processor, self.compiler, sanitizer, target, self.by_avx2)

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*self.emulator, self.build() / program, *arguments]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE)


def own_kernels() -> str:
    """The set this machine must get, by what the kernel says of its CPU."""
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    if platform.machine() == "x86_64":
        if not {"avx2", "fma", "f16c"} <= words:
            return "portable"
        if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= words:
            if not {"avx512_vnni", "avx512vbmi"} <= words:
                return "avx512"
            return "amx" if {"amx_tile", "amx_int8"} <= words else "avx512vnni"
        return "avxvnni" if "avx_vnni" in words else "avx2"
    if platform.machine() in ("aarch64", "arm64"):
        if "asimddp" not in words:
            return "neon"
        return "neon_i8mm" if "i8mm" in words else "neon_dot"
    return "portable"


OWN = "gcc" if shutil.which("gcc") else "cc"
HOST = Target("host", platform.machine(), OWN, (), own_kernels())
ARM64 = ("aarch64", "aarch64-linux-gnu-gcc")
ARMV7 = ("armv7", "arm-linux-gnueabihf-gcc")
EMULATED = [
    Target("nehalem", "x86_64", OWN, ("qemu-x86_64", "-cpu", "Nehalem"), "portable"),
    Target("cortex-a53", *ARM64, ("qemu-aarch64", "-cpu", "cortex-a53"), "neon"),
    Target("cortex-a76", *ARM64, ("qemu-aarch64", "-cpu", "cortex-a76"), "neon_dot"),
    Target("arm64-max", *ARM64, ("qemu-aarch64", "-cpu", "max,sve=off"), "neon_i8mm"),
    Target("cortex-a7", *ARMV7, ("qemu-arm", "-cpu", "cortex-a7"), "neon"),
    Target("cortex-a9", *ARMV7, ("qemu-arm", "-cpu", "cortex-a9"), "portable"),  # NEON without fused multiply-add
    *(
        Target(kernels, "x86_64", OWN, ("env", f"EMULATED_CPU={kernels}"), kernels, by_avx2=True)
        for kernels in ("avxvnni", "avx512", "avx512vnni", "amx")
    ),
]


@functools.cache
def build(processor: str, compiler: str, sanitizer: str = "", target: str = "all", by_avx2: bool = False) -> Path:
    folder = ROOT / "build" / "tests" / "-".join(filter(None, ["programs", processor, "by-avx2" * by_avx2, sanitizer]))
    settings = [f"-DCMAKE_C_COMPILER={compiler}", f"-DTODY_EMULATED={by_avx2}"]
    if sanitizer:
        settings += [f"-DCMAKE_C_FLAGS=-fsanitize={sanitizer}", "-DCMAKE_BUILD_TYPE=Debug"]  # its own checks cost the time
    if processor != platform.machine():
        settings += ["-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={processor}", "-DCMAKE_EXE_LINKER_FLAGS=-static"]
    return cmake(ROOT / "tests", folder, *settings, target=target)


@functools.cache
def sanitized() -> Path:
    """The folder of the fuzzers, which has that of the package's modules, `package`, in it; skips the test without tools."""
    for tool in ("cmake", "gcc"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    settings = ["-DCMAKE_C_COMPILER=gcc", f"-DPython_EXECUTABLE={sys.executable}"]
    return cmake(ROOT / "tests" / "fuzz", ROOT / "build" / "tests" / "sanitized", *settings)

"""Cycles of the innermost loops of the NEON kernels, by llvm-mca: mca.py [LIBRARY.a], by default built by Debian's gcc.

A loop is a straight run of instructions that ends in a jump to its first one. Of each function the loop with the most
multiply-accumulates (MACs) is shown, with --all every one. The share is of the peak: what the same processor does with nothing
but independent instructions of the loop's most frequent kind of product. No cache is modelled: loads hit the first level.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CPUS = [
    "cortex-a53",
    "cortex-a55",
    "cortex-a72",
    "cortex-a76",
    "neoverse-n1",
]  # n1: the A76 of servers
FEATURES = "+dotprod,+i8mm,+fullfp16"
ITERATIONS = 100
JUMP = re.compile(r"^(b|bl|br|blr|ret|b\.\w+|cbn?z|tbn?z)\b")
LANES = {"2s": 2, "4h": 4, "4s": 4, "8h": 8}
DEPTH = {"fmla": 1, "smlal": 1, "smlal2": 1, "smull": 1, "smull2": 1, "sdot": 4, "smmla": 8}  # products added up in a lane

# What a processor can do at most, by what a loop is made of: products without a common sum.
PEAKS = {
    "fmla": ["fmla v{0}.{1}, v30.{1}, v15.{2}[1]"],
    "sdot": ["sdot v{0}.4s, v30.16b, v15.4b[1]"],
    "smmla": ["smmla v{0}.4s, v30.16b, v15.16b"],
    "smull": ["smull v{0}.8h, v30.8b, v15.8b", "smlal v{0}.8h, v31.8b, v14.8b", "sadalp v{3}.4s, v{0}.8h"],
    "smlal": ["smlal v{0}.4s, v30.4h, v15.4h"],
}


@dataclass(frozen=True)
class Loop:
    file: str
    function: str
    body: tuple[str, ...]  # without the jump

    @property
    def macs(self) -> int:
        return sum(macs_of(line) for line in self.body)


def macs_of(line: str) -> int:
    """Multiply-accumulates of one instruction: `fmla v0.4s, v1.4s, v2.s[0]` has four."""
    name, *rest = re.split(r"[\s,]+", line)
    if name not in DEPTH or "." not in rest[0]:
        return 0
    return LANES[rest[0].split(".")[1]] * DEPTH[name]


def estimate(lines: tuple[str, ...], cpu: str) -> float:
    """Cycles for one round of these instructions."""
    command = ["llvm-mca-19", "-mtriple=aarch64", f"-mcpu={cpu}", f"-mattr={FEATURES}", f"-iterations={ITERATIONS}"]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    found = re.search(r"^Total Cycles:\s+(\d+)", done.stdout, re.M)
    if not found:
        raise ValueError(f"llvm-mca counted no cycles:\n{done.stdout}{done.stderr}")
    return int(found[1]) / ITERATIONS


@cache
def peak(kind: str, lanes: str, cpu: str) -> float:
    """MACs per cycle of independent products."""
    lines = [line.format(i, lanes, lanes[-1], i + 16) for line in PEAKS[kind] for i in range(14)]
    return sum(macs_of(line) for line in lines) / estimate(tuple(lines), cpu)


def kind_of(loop: Loop) -> tuple[str, str]:
    """The most frequent kind of product, and the lanes of its result."""
    products = Counter(line.split()[0].rstrip("2") for line in loop.body if macs_of(line))
    kind = "smull" if "smull" in products else products.most_common(1)[0][0]
    lanes = next(line.split(".")[1].split(",")[0] for line in loop.body if line.startswith(kind))
    return kind, lanes


def loops_of(archive: Path) -> Iterator[Loop]:
    done = subprocess.run(["llvm-objdump-19", "-d", "--no-show-raw-insn", archive], capture_output=True, text=True, check=True)
    file = function = ""
    block: list[tuple[int, str]] = []  # since the last jump
    for line in done.stdout.splitlines():
        if found := re.match(r"^.*?(\w+\.c)(?:\.o|bj)*\)?:\s+file format", line):
            file = found[1]
        elif found := re.match(r"^[0-9a-f]+ <(\S+)>:", line):
            function, block = found[1], []
        elif found := re.match(r"^\s*([0-9a-f]+):\s+(.*)", line):
            address, text = int(found[1], 16), " ".join(found[2].split())
            if not JUMP.match(text):
                block.append((address, text))
                continue
            to = re.search(r"0x([0-9a-f]+)", text)
            body = tuple(text for at, text in block if to and at >= int(to[1], 16))
            if to and body and any(at == int(to[1], 16) for at, _ in block):
                yield Loop(file, function, tuple(re.sub(r"\s*(<.*>|//.*)$", "", part) for part in body))
            block = []


def chosen(archive: Path, every: bool) -> list[Loop]:
    """The loops to show: with products of whole vectors, more than a few."""
    best: dict[tuple[str, str], Loop] = {}
    loops = [loop for loop in loops_of(archive) if loop.macs >= 32]
    if every:
        return loops
    for loop in loops:
        key = loop.file, loop.function
        if key not in best or loop.macs > best[key].macs:
            best[key] = loop
    return list(best.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?", type=Path, help="libtody.a of an aarch64 build")
    parser.add_argument("--all", action="store_true", help="every loop, not only the largest of each function")
    parser.add_argument("--cpu", action="append", help=f"by default {' '.join(CPUS)}")
    options = parser.parse_args()
    archive = options.archive
    if archive is None:
        from targets import ARM64, build

        archive = next(build(*ARM64).rglob("libtody.a"))
    cpus = options.cpu or CPUS
    print(f"{'':44s} {'instr':>5s} {'MACs':>5s}" + "".join(f"{cpu:>22s}" for cpu in cpus))
    for loop in chosen(archive, options.all):
        cells = ""
        for cpu in cpus:
            cycles = estimate((*loop.body, "b.ne 0"), cpu)
            rate = loop.macs / cycles
            cells += f"{cycles:9.1f}{rate:7.2f}{100 * rate / peak(*kind_of(loop), cpu):5.0f}%"
        print(f"{loop.file + ' ' + loop.function:44s} {len(loop.body) + 1:5d} {loop.macs:5d}{cells}")
    print("per processor: cycles of one round, MACs per cycle, share of the peak")


if __name__ == "__main__":
    main()

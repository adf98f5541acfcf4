"""Instructions, and estimated cycles, of one inference on an emulated board: chips.py BOARD MODEL..; needs QEMU and llvm-mca.

QEMU tells how often each block of instructions ran; how many cycles it takes is what llvm-mca says of it run over and over, and
for the Cortex-M4 what the tables of its manual say (cortexm4.py): in both, with all memory as near as a first cache. The sum is
an estimate and not a measurement. What the board does for its serial line meanwhile is left out. MODEL is a .tody file, or one
that `tody convert` takes, with inputs and outputs in int8.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import bisect
import collections
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "firmware")]
import cortexm4  # noqa: E402
from emulate import built, command, connect, free_port  # noqa: E402

from tody.convert import convert  # noqa: E402
from tody.flash.boards import Board  # noqa: E402

Counts = dict[int, tuple[int, int]]  # by address: instructions of a block, how often it ran
SHARE = 0.97  # of all instructions, in the blocks that llvm-mca is asked about; for the others, their average is taken
RUNS = 4
MOST = 16  # functions to list


def run(board: Board, model: Path, plugin: Path, runs: int, folder: Path) -> Counts:
    """What ran from the start of the board to the end of so many inferences."""
    out, flash, port = folder / "blocks", folder / "flash.img", free_port()
    flash.unlink(missing_ok=True)
    words = [*command(board, flash, port), "-plugin", f"{plugin},blocks={out}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(f"socket://127.0.0.1:{port}") as device:
                device.flash(str(model))
                for _ in range(runs):
                    device.run_once()
        finally:
            process.terminate()
    counts: Counts = {}
    for line in out.read_text().splitlines():
        address, length, times = line.split()
        counts[int(address, 16) & ~1] = (int(length), counts.get(int(address, 16) & ~1, (0, 0))[1] + int(times))
    return counts


def symbols(*files: Path) -> list[tuple[int, str]]:
    """Functions and their addresses, in their order."""
    lines = subprocess.run(["llvm-nm-19", "-n", "--defined-only", *files], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^([0-9a-f]+) [tTwW] (\w+)$", lines, re.M)
    return [(int(address, 16) & ~1, name) for address, name in found]


def instructions(elf: Path, cpu: str) -> dict[int, str]:
    """The text of each instruction, without what llvm-mca cannot read: the targets of jumps."""
    lines = subprocess.run(
        ["llvm-objdump-19", "-d", "--no-show-raw-insn", f"--mcpu={cpu}", elf], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^\s*([0-9a-f]+):\s+(.+)$", lines, re.M)
    return {int(address, 16): re.sub(r"0x[0-9a-f]+ <.*|<.*", "0", text.split("@")[0]).strip() for address, text in found}


def cycles(texts: list[str], cpu: str) -> float | None:
    """Of one turn of a loop of these instructions; None for what llvm-mca does not know."""
    texts = [re.sub(r"^(b\w*|cbn?z)(\.\w)?(\s.*?)0$", r"\1\2\3.", t) for t in texts]
    options = [
        f"-mcpu={cpu}",
        "-mtriple=thumbv7em-none-eabi" if cpu in ("cortex-m4", "cortex-m7") else "-mtriple=thumbv8.1m.main-none-eabi",
    ]
    done = subprocess.run(["llvm-mca-19", *options, "-iterations=100"], input="\n".join(texts), capture_output=True, text=True)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    return int(found[1]) / 100 if found else None


def texts_of(text: dict[int, str], address: int, count: int) -> tuple[list[str], int]:
    """So many instructions from an address on, and where they end."""
    texts: list[str] = []
    while len(texts) < count and address in text:
        texts.append(text[address])
        address = next((address + step for step in (2, 4) if address + step in text), -1)
    return texts, address


def taken(spent: dict[int, tuple[int, float]], end: int, times: float) -> float:
    """How often a block does not go on with what follows it in memory, as far as that is begun by nothing else."""
    return 1 - min(spent.get(end, (0, 0.0))[1] / times, 1.0)


def line_functions(board: Board) -> set[str]:
    """Names of what receives and answers while the model runs, for as long as this machine is busy with something else."""
    objects = [file for folder in ("link", "boards") for file in (board.build / "o" / folder).rglob("*.o")]
    return {name for _, name in symbols(*(file for file in objects if file.parent.name != "libc"))} | {"main"}


def report(board: Board, before: Counts, after: Counts) -> None:
    spent = {a: (n, (times - before.get(a, (0, 0))[1]) / RUNS) for a, (n, times) in after.items()}
    table, text = symbols(board.build / "tody.elf"), instructions(board.build / "tody.elf", board.cpu)
    starts = [s[0] for s in table]

    def function(address: int) -> str:
        return table[bisect.bisect_right(starts, address) - 1][1]

    by_name: collections.Counter[str] = collections.Counter()
    manual: collections.Counter[str] = collections.Counter()
    line = line_functions(board)
    for address, (n, times) in list(spent.items()):
        if function(address) in line:
            del spent[address]
        else:
            by_name[function(address)] += n * times
    total = sum(by_name.values())
    known = estimated = 0.0
    # what began within a literal or outside of the program, now and then, is in no disassembly
    blocks = {address: texts_of(text, address, n) for address, (n, times) in spent.items() if times and address in text}
    ends = {end: texts[-1] for texts, end in blocks.values()}
    for address, (texts, end) in sorted(blocks.items(), key=lambda item: -spent[item[0]][0] * spent[item[0]][1]):
        n, times = spent[address]
        last = ends.get(address, "")  # where the emulator cuts a run in two
        last = last if cortexm4.goes_on(last) else ""
        manual[function(address)] += cortexm4.cycles(texts, taken(spent, end, times), last) * times
        found = cycles(texts, board.cpu) if known <= SHARE * total else None
        if found is not None:
            known, estimated = known + n * times, estimated + found * times
    print(f"  {total / 1e6:.2f} M instructions, about {estimated / known * total / 1e6:.2f} M cycles by llvm-mca")
    if board.cpu == "cortex-m4":
        print(f"  about {sum(manual.values()) / 1e6:.2f} M cycles by its manual")
    for name, count in by_name.most_common(MOST):
        cycles_too = f"{manual[name] / 1e6:8.3f} M cycles" if board.cpu == "cortex-m4" else ""
        print(f"    {count / 1e6:8.3f} M  {100 * count / total:4.1f} %{cycles_too}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("board")
    parser.add_argument("models", nargs="+", type=Path)
    args = parser.parse_args()
    board = built(args.board)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin = folder / "count.so"
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", HERE / "count.c", "-o", plugin], check=True)
        for source in args.models:
            model = source if source.suffix == ".tody" else folder / f"{source.stem}.tody"
            if model is not source:
                convert(source, model, io="int8")
            print(f"{source.stem} on {board.name} ({board.cpu})", flush=True)
            report(board, run(board, model, plugin, 0, folder), run(board, model, plugin, RUNS, folder))


if __name__ == "__main__":
    main()

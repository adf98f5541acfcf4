"""Cycles of a straight run of instructions on a Cortex-M4, by the tables of its manual.

Source: Arm Cortex-M4 Processor Technical Reference Manual, revision r0p1 (100166_0001): 3.3.1 (cycles of instructions), 3.3.3
(how loads and stores follow each other) and 7.2.3 (floats). The core issues one instruction at a time and in order, so that
their sum is all there is, but for the memory: no wait states, no flash, no unaligned access.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

REFILL = 2  # cycles of a taken branch beyond its own: 1 to 3 by where it leads
_IF = "(eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?$"  # conditions
_SINGLE = re.compile(r"(ldr(s?[bh])?|vldr)" + _IF)  # loads that the next one may follow without a gap
_MULTIPLE = re.compile(r"(ldm|stm|ldrd|strd|push|pop|vldm|vstm|vpush|vpop)")
_STORE = re.compile(r"(str[bh]?|vstr)" + _IF)
_BRANCH = re.compile(r"(b(l|x|lx)?|cbn?z|tb[bh])" + _IF)
_COMPARE = re.compile(r"(cmp|cmn|tst|teq|vcmpe?|it[te]*|nop)" + _IF)
_FLOAT = re.compile(r"v(add|sub|mul|cvt|neg|abs|fma|mla|mls|nmul|div|sqrt)")
_LONG = {"vdiv": 14, "vsqrt": 14, "vfma": 3, "vfms": 3, "vmla": 3, "vmls": 3, "tbb": 4, "tbh": 4}
_LONG |= {"sdiv": 7, "udiv": 7}  # 2 to 12


def _registers(operands: str) -> int:
    """How many words a list of registers stands for: {r4-r7, lr} has five; without a list, a pair."""
    found = re.search(r"\{(.*)\}", operands)
    if not found:
        return 2
    parts = [re.findall(r"([sdr]?)(\d+)", part) for part in found[1].split(",")]
    count = sum(int(p[1][1]) - int(p[0][1]) + 1 if len(p) == 2 else 1 for p in parts)
    return count * (2 if found[1].strip().startswith("d") else 1)


def _writes(name: str, operands: str) -> str:
    """The register that the instruction gives a value; "": none, or several."""
    if any(kind.match(name) for kind in (_COMPARE, _STORE, _BRANCH, _MULTIPLE)):
        return ""
    return re.split(r"[,\s]", operands.strip())[0]


def _reads(operands: str, register: str) -> bool:
    """Whether an operand behind the first one is, or has in it, the register."""
    return bool(register) and re.search(rf"\b{register}\b", operands.partition(",")[2]) is not None


def _of_one(name: str, operands: str, before: tuple[str, str]) -> int:
    last, last_operands = before
    result = _writes(last, last_operands)
    wait = int(bool(_FLOAT.match(last)) and _reads(operands if _writes(name, operands) else f",{operands}", result))
    late = int(_reads("," + operands.partition("[")[2], result))  # an address that the instruction before computes
    if _SINGLE.match(name):
        if _writes(name, operands) == "pc":  # never beside another load: 2, and 3 to begin anew, REFILL of them by `taken`
            return 2 + late + 3 - REFILL
        return 1 if _SINGLE.match(last) and not late else 2 + (late and not _SINGLE.match(last))
    if _STORE.match(name):
        by_register = re.search(r"\[\w+, \w+", operands) is not None
        return late + wait + (2 if by_register and not _SINGLE.match(last) else 1)
    if _MULTIPLE.match(name):
        return late + 1 + _registers(operands)
    return _LONG.get(name.split(".")[0], 1) + wait


def _parts(text: str) -> tuple[str, str]:
    """Name, without what says how it is encoded or of which type, and operands."""
    name, _, operands = text.partition("\t") if "\t" in text else text.partition(" ")
    return name.split(".")[0], operands


def goes_on(text: str) -> bool:
    """Whether nothing but the next instruction can follow this one."""
    name, operands = _parts(text)
    return not _BRANCH.match(name) and "pc" not in operands


def cycles(texts: list[str], taken: float, after: str = "") -> float:
    """Of a run of instructions, in the assembler's words, that ends in a branch which is taken so often (0 to 1).

    `after`: the instruction that is always before the first one.
    """
    total, before = 0.0, _parts(after)
    for text in texts:
        name, operands = _parts(text)
        total += _of_one(name, operands, before)
        before = (name, operands)
    return total + taken * REFILL

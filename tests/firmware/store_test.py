"""The store of the firmware, in a simulated flash under the sanitizers: power cuts everywhere, decay, and planted bugs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "firmware" / "store"
SOURCES = [*STORE.glob("*.c"), ROOT / "firmware" / "sim" / "cut.c"]
PROGRAMS = ("rules", "power")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LEAST_STATES = 5000

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")

# Name: file, what stands there, what the bug makes of it. Each must be noticed by rules.c or power.c.
BUGS = {
    "no check of records": ("journal.c", "if (memcmp(check, record->check, sizeof check) != 0) return false;", ""),
    "oldest record wins": ("journal.c", "record.sequence > journal->now.sequence &&", "!journal->now.sequence &&"),
    "erases the block it stands on": (
        "journal.c",
        "place_at(flash, journal->block ^ 1, 0)",
        "place_at(flash, journal->block, 0)",
    ),
    "trusts an erasure that was cut off": (
        "journal.c",
        "journal->now.sequence ? used[journal->block] : places(flash)",
        "used[0]",
    ),
    "sees a torn record as free": ("journal.c", "return bytes == 0;", "return bytes < 64;"),
    "floor kept once": ("journal.c", "? 2 : 1;", "? 1 : 1;"),
    "runs without a checksum": ("store.c", "|| !tody_store_sound(store, slot)) return false;", ") return false;"),
    "a trial never ends": ("store.c", "next.boots--;", ""),
    "trial not durable": (
        "store.c",
        "if (!tody_journal_write(&store->journal, &next, TODY_RECORD_TRIAL)) return TODY_STORE_FLASH;",
        "",
    ),
    "runs what is older than the floor": ("store.c", "&& s->security >= store->journal.now.floor", ""),
    "writes into what runs": ("store.c", "return slot != store->running && ", "return "),
    "writes into what a trial falls back to": (
        "store.c",
        "== TODY_SLOT_TRIAL && fallback)",
        "== TODY_SLOT_TRIAL && !fallback)",
    ),
    "roll-back not durable": ("store.c", "next.slots[store->running].state = TODY_SLOT_FAILED;", ""),
    "done without a checksum": ("upload.c", "const bool sound = tody_store_sound(store, target);", "const bool sound = true;"),
    "done before the last page": ("upload.c", "if (store->filled && !put_page(store)) return TODY_STORE_FLASH;", ""),
    "no erasure": ("upload.c", "!flash->erase(flash->self, at)", "!at"),
    "goes on behind what is safe": ("upload.c", "slot->written = store->page_at;", "slot->written = store->page_at + block;"),
    "takes old files": ("upload.c", "if (security < store->journal.now.floor) return TODY_STORE_OLD;", ""),
}


def gcc(*words: object) -> None:
    command = ["gcc", "-std=c11", f"-I{ROOT}", f"-I{ROOT / 'firmware'}", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def sanitized(program: str, folder: Path) -> Path:
    gcc(*WARNINGS, *SANITIZERS, ROOT / "tests" / "firmware" / f"{program}.c", *SOURCES, "-o", folder / program)
    return folder / program


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE)


def test_rules(tmp_path: Path) -> None:
    done = run(sanitized("rules", tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_power_cuts(tmp_path: Path) -> None:
    done = run(sanitized("power", tmp_path), "1", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.fullmatch(r"(\d+) states\n", done.stdout)
    assert found and int(found[1]) >= LEAST_STATES


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources and both programs, compiled one by one: a bug takes the place of one of them."""
    folder = tmp_path_factory.mktemp("objects")
    for source in [*SOURCES, *(ROOT / "tests" / "firmware" / f"{name}.c" for name in PROGRAMS)]:
        gcc("-O1", "-c", source, "-o", folder / f"{source.stem}.o")
    return folder


def noticed(program: str, objects: Path, planted: Path, *arguments: str) -> bool:
    parts = [path for path in objects.glob("*.o") if path.stem not in (*PROGRAMS, planted.stem)]
    target = planted.with_name(program)
    gcc(objects / f"{program}.o", planted, *parts, "-o", target)
    return run(target, *arguments).returncode != 0


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug(name: str, objects: Path, tmp_path: Path) -> None:
    file, right, wrong = BUGS[name]
    text = (STORE / file).read_text()
    assert text.count(right) == 1, f"{file} has changed: plant {name!r} anew"
    source = tmp_path / file
    source.write_text(text.replace(right, wrong).replace('#include "', f'#include "{STORE}/'))
    planted = source.with_suffix(".o")
    gcc("-O1", "-c", source, "-o", planted)
    assert noticed("rules", objects, planted) or noticed("power", objects, planted, "1", "40")

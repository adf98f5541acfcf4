"""Nothing that was put into the outbox is lost: not by kills, not by a long outage, not by a full file."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tody.fleet.telemetry.outbox import MOST_MESSAGE, Outbox

SAMPLES, KILLS, MOST = 100_000, 20, 3 << 19
OUTAGE = range(30_000, 75_000)  # samples during which nobody takes anything out
# A camera process: it goes on where the file says that the last one came to, with every line that it reads.
CAMERA = """
import sys
from pathlib import Path
from outbox_test import MOST, SAMPLES, sample, total
from tody.fleet.telemetry.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), {"metrics": total}, MOST)
while (done := outbox.last("metrics")) < SAMPLES:
    print(done, flush=True)
    sys.stdin.readline()
    outbox.add("metrics", [sample(i) for i in range(done + 1, min(done + 250, SAMPLES) + 1)])
print(SAMPLES, flush=True)
"""


def sample(number: int) -> dict[str, Any]:
    return {"sum": number, "first": number, "text": "x" * 40}


def total(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, "sum": one["sum"] + other["sum"]}


def open_outbox(path: Path, **options: Any) -> Outbox:
    return Outbox(path, {"metrics": total}, MOST, **options)


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


class Reader:
    """What a consumer has counted, duplicates dropped as any consumer can: by sequence."""

    def __init__(self) -> None:
        self.last = self.messages = self.duplicates = 0

    def take(self, outbox: Outbox, forgetful: bool) -> None:
        """Take a batch; if forgetful, die before the outbox hears of it."""
        batch = outbox.take("metrics", 1000)
        for last, samples, body in batch:
            first = last - samples + 1
            assert body["sum"] == (first + last) * samples // 2 and body["first"] == first
            if last <= self.last:
                self.duplicates += 1
                continue
            assert first == self.last + 1, "a gap, or a message that overlaps with one that was seen"
            self.last, self.messages = last, self.messages + 1
        if batch and not forgetful:
            outbox.sent("metrics", batch[-1].last)


class Camera:
    """The camera process. `done`: samples that were in the outbox when it last said so."""

    def __init__(self, path: Path) -> None:
        command, here = [sys.executable, "-c", CAMERA, str(path)], Path(__file__).parent
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here)
        self.done = self.wait()

    def go(self) -> None:
        """Put in some more, beside what this process does."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def wait(self) -> int:
        assert self._process.stdout
        self.done = int(self._process.stdout.readline())
        return self.done

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_nothing_is_lost_by_kills_and_an_outage(tmp_path: Path) -> None:
    """100,000 samples, 20 kills of the camera process, an outage that the file is too small for, a sender that dies as well."""
    path, seed, reader = tmp_path / "telemetry.sqlite", random.Random(6), Reader()
    kills = sorted(seed.sample(range(1000, SAMPLES - 1000), KILLS))
    outbox, camera = open_outbox(path), Camera(path)
    most_messages = killed = takes = 0
    while reader.last < SAMPLES:
        if camera.done < SAMPLES:
            camera.go()
        if killed < KILLS and camera.done >= kills[killed]:
            time.sleep(seed.uniform(0, 0.02))  # anywhere within its next transactions
            camera.kill()
            killed, camera = killed + 1, Camera(path)
        elif camera.done in OUTAGE:
            waiting, _ = outbox.counts().get("metrics", (0, 0))  # none, if the camera was killed before its first one
            most_messages = max(most_messages, waiting)
            camera.wait()
        else:
            takes += 1
            forgetful = takes % 5 == 0
            reader.take(outbox, forgetful)
            if forgetful:
                outbox.close()
                outbox = open_outbox(path)
            if camera.done < SAMPLES:
                camera.wait()
        assert size(path) <= MOST
    camera.kill()
    assert killed == KILLS and reader.last == SAMPLES and reader.duplicates
    assert most_messages > 1000 and reader.messages < SAMPLES - len(OUTAGE) + 2 * most_messages


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_what_was_put_in_is_on_the_disk(tmp_path: Path) -> None:
    """A power cut loses what was not synced: after every write, and before `add` returns, there is a sync."""
    code = (
        "import os, sys; from pathlib import Path; from outbox_test import sample, total\n"
        "from tody.fleet.telemetry.outbox import Outbox\n"
        "outbox = Outbox(Path(sys.argv[1]), {'metrics': total})\n"
        "for i in range(1, 6): outbox.add('metrics', [sample(i)]); os.write(2, b'added')"
    )
    log = tmp_path / "log"
    command = ["strace", "-f", "-o", str(log), "-e", "trace=pwrite64,write,fdatasync,fsync"]
    subprocess.run([*command, sys.executable, "-c", code, str(tmp_path / "o.sqlite")], check=True, cwd=Path(__file__).parent)
    calls = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    ends = [i for i, call in enumerate(calls) if call.startswith('write(2, "added"')]
    assert len(ends) == 5
    for end in ends:
        last = next(call for call in reversed(calls[:end]) if call.startswith(("pwrite64", "fdatasync", "fsync")))
        assert last.startswith(("fdatasync", "fsync")), last


def test_the_past_gets_coarser_and_the_present_stays_fine(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "o.sqlite")
    for begin in range(1, 8000, 200):
        outbox.add("metrics", [{**sample(i), "text": "x" * 400} for i in range(begin, begin + 200)])
    assert size(tmp_path / "o.sqlite") <= MOST
    sizes = []
    while batch := outbox.take("metrics"):
        sizes += [waiting.samples for waiting in batch]
        outbox.sent("metrics", batch[-1].last)
    assert sum(sizes) == 8000
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] >= 8 and sizes[-100:] == [1] * 100


def test_what_was_offered_is_not_merged(tmp_path: Path) -> None:
    """Or a reader that has seen it could not tell the merged message from a new one."""
    outbox = open_outbox(tmp_path / "o.sqlite")
    outbox.add("metrics", [sample(i) for i in range(1, 11)])
    assert len(outbox.take("metrics", 5)) == 5
    for begin in range(11, 6000, 200):
        outbox.add("metrics", [{**sample(i), "text": "x" * 400} for i in range(begin, begin + 200)])
    assert outbox.counts()["metrics"][0] < 4000
    assert [(w.last, w.samples) for w in outbox.take("metrics", 5)] == [(i, 1) for i in range(1, 6)]


def test_kinds_are_counted_apart(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "o.sqlite")
    outbox.add("metrics", [sample(1), sample(2)])
    outbox.add("event", [{"type": "new"}])
    assert [w.last for w in outbox.take("event")] == [1] and outbox.last("metrics") == 2 and outbox.last("other") == 0
    outbox.sent("event", 1)
    assert outbox.counts() == {"metrics": (2, 2)}


@pytest.mark.parametrize("damage", ["not a database at all" * 1000, "", "middle"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    path, notes = tmp_path / "o.sqlite", []
    outbox = open_outbox(path)
    before = outbox.id
    outbox.add("metrics", [sample(i) for i in range(1, 3000)])
    outbox.close()
    content = bytearray(path.read_bytes())
    content[2000:-2000] = b"\xa5" * (len(content) - 4000)
    path.write_bytes(content if damage == "middle" else damage.encode())
    outbox = open_outbox(path, note=notes.append)
    outbox.add("metrics", [sample(1)])
    assert [w.body for w in outbox.take("metrics")] == [sample(1)]
    assert outbox.id != before, "or readers would take its messages for old ones"
    if damage:
        assert len(notes) == 1 and "damaged" in notes[0] and (tmp_path / "o.sqlite.damaged").is_file()


def test_damage_while_two_processes_use_it(tmp_path: Path) -> None:
    """The first that notices sets the file aside; the other goes on with the new one."""
    path, notes = tmp_path / "o.sqlite", []
    one, other = open_outbox(path, note=notes.append), open_outbox(path, note=notes.append)
    one.add("metrics", [sample(i) for i in range(1, 2000)])
    one.close()
    with open(path, "r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    one.add("metrics", [sample(1)])
    other.add("metrics", [sample(2)])
    assert one.id == other.id and [w.body for w in other.take("metrics")] == [sample(1), sample(2)]
    assert len(notes) == 1


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "o.sqlite")
    outbox.add("metrics", [sample(1)])
    assert outbox._db
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says what it says of a full disk
    with pytest.raises(OSError, match="full"):
        outbox.add("metrics", [sample(i) for i in range(2, 500)])
    outbox._db.execute("PRAGMA max_page_count = 100000")
    outbox.add("metrics", [sample(2)])
    assert [w.last for w in outbox.take("metrics")] == [1, 2]


def test_what_cannot_be_put_in(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path / "o.sqlite")
    for body in ({"x": "y" * MOST_MESSAGE}, {"x": float("nan")}):
        with pytest.raises(ValueError):
            outbox.add("metrics", [sample(1), body])
    assert outbox.counts() == {}


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "o.sqlite").mkdir()
    with pytest.raises(OSError):
        open_outbox(tmp_path / "o.sqlite")


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    open_outbox(tmp_path / "o.sqlite").add("metrics", [sample(1)])
    assert {oct(file.stat().st_mode & 0o77) for file in tmp_path.iterdir()} == {"0o0"}


def test_it_is_plain_sqlite(tmp_path: Path) -> None:
    """Whoever stands in front of a device that has no link can read it with what every machine has."""
    outbox = open_outbox(tmp_path / "o.sqlite")
    outbox.add("metrics", [sample(1)])
    ((body,),) = sqlite3.connect(tmp_path / "o.sqlite").execute("SELECT body FROM messages").fetchall()
    assert json.loads(body) == sample(1)

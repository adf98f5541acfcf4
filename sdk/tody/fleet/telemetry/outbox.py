"""What a device has to tell, on its disk until a broker has taken it: a bounded queue that survives restarts and power cuts.

One process may put in (a camera script) while another takes out (the agent). Each kind of message counts its samples from 1. A
message is told once at least: a reader drops what it has seen by outbox (another number after every new file) and sequence.
When the file is full, the oldest messages are merged in pairs: 1, 2, 4, 8, .. samples in a message, about equally many of each
size, so that an outage of any length is covered, the past ever more coarsely, and no sample is lost.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Message = dict[str, Any]
Merge = Callable[[Message, Message], Message]  # of two neighbours, the older one first; must not grow without bound
T = TypeVar("T")

MOST_BYTES = 4 << 20  # of the file with its journal
MOST_MESSAGE = 8192  # bytes of one message
SLACK = 768 << 10  # bytes of MOST_BYTES that are left to the journal
STEP = 64  # messages merged in one transaction
PATIENCE = 10.0  # seconds to wait while another process writes
SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS kinds (kind TEXT PRIMARY KEY, last INTEGER NOT NULL, offered INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (kind TEXT NOT NULL, last INTEGER NOT NULL, samples INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (kind, last)) WITHOUT ROWID;
"""


class Waiting(NamedTuple):
    """A message in the queue: it stands for `samples` samples, of which the last has the number `last`."""

    last: int
    samples: int
    body: Message


class Outbox:
    """The queue of one device. Every method may be called from any thread, and raises OSError when the disk cannot be used.

    Args:
        path: of the SQLite file. One that is damaged is set aside as `<name>.damaged`, and a new one begun.
        merges: how messages of each kind are merged.
        most: bytes that the file and its journal may have, 1.5 MiB at least.
        note: is told what happened, for a log.
    """

    def __init__(
        self, path: Path, merges: Mapping[str, Merge], most: int = MOST_BYTES, note: Callable[[str], None] = lambda text: None
    ) -> None:
        self._path, self._merges, self._note = path, merges, note
        self._live = max(most, 2 * SLACK) - SLACK
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self.id = 0
        self._do(lambda db: None)

    def close(self) -> None:
        with self._lock:
            self._drop()

    def add(self, kind: str, bodies: Sequence[Message]) -> None:
        """Put messages in. They survive a power cut when this returns.

        Raises:
            ValueError: one is too large, or is no plain JSON.
        """
        texts = [_encode(body) for body in bodies]

        def work(db: sqlite3.Connection) -> None:
            with self._transaction(db):
                db.execute("INSERT OR IGNORE INTO kinds VALUES (?, 0, 0)", (kind,))
                (last,) = db.execute("SELECT last FROM kinds WHERE kind = ?", (kind,)).fetchone()
                rows = [(kind, last + i, 1, text) for i, text in enumerate(texts, 1)]
                db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
                db.execute("UPDATE kinds SET last = ? WHERE kind = ?", (last + len(texts), kind))
            while _live_bytes(db) > self._live:
                with self._transaction(db):
                    if not self._merge_some(db):
                        break

        self._do(work)

    def take(self, kind: str, most: int = 64) -> list[Waiting]:
        """The oldest messages. They stay until `sent`, and are not merged any more, since somebody may have seen them."""

        def work(db: sqlite3.Connection) -> list[Waiting]:
            sql = "SELECT last, samples, body FROM messages WHERE kind = ? ORDER BY last LIMIT ?"
            if db.execute(sql, (kind, 1)).fetchone() is None:
                return []  # without a lock: it is asked four times a second
            with self._transaction(db):
                rows = db.execute(sql, (kind, most)).fetchall()
                if rows:
                    db.execute("UPDATE kinds SET offered = ?1 WHERE kind = ?2 AND offered < ?1", (rows[-1][0], kind))
            return [Waiting(last, samples, json.loads(body)) for last, samples, body in rows]

        return self._do(work)

    def sent(self, kind: str, last: int) -> None:
        """Forget the messages up to this one: somebody else has them."""

        def work(db: sqlite3.Connection) -> None:
            with self._transaction(db):
                db.execute("DELETE FROM messages WHERE kind = ? AND last <= ?", (kind, last))

        self._do(work)

    def last(self, kind: str) -> int:
        """The number of the newest sample that was ever put in."""
        row = self._do(lambda db: db.execute("SELECT last FROM kinds WHERE kind = ?", (kind,)).fetchone())
        return int(row[0]) if row else 0

    def counts(self) -> dict[str, tuple[int, int]]:
        """Of every kind: how many messages wait, and how many samples they stand for."""
        sql = "SELECT kind, count(*), sum(samples) FROM messages GROUP BY kind"
        return self._do(lambda db: {kind: (count, samples) for kind, count, samples in db.execute(sql)})

    @contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        self._shorten_journal(db)
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _shorten_journal(self, db: sqlite3.Connection) -> None:
        """It grows while another process reads, or shortens it itself; wait for that one."""
        journal, end = self._path.with_name(f"{self._path.name}-wal"), time.monotonic() + PATIENCE
        while journal.exists() and journal.stat().st_size > SLACK // 4 and time.monotonic() < end:
            is_busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if is_busy:
                time.sleep(0.01)

    def _merge_some(self, db: sqlite3.Connection) -> bool:
        """Merge the oldest messages of the commonest size in pairs; False if there is nothing to merge."""
        sql = (
            "SELECT kind, samples FROM messages JOIN kinds USING (kind) WHERE messages.last > offered"
            " GROUP BY kind, samples HAVING count(*) > 1 ORDER BY count(*) DESC, samples LIMIT 1"
        )
        chosen = db.execute(sql).fetchone()
        if chosen is None or chosen[0] not in self._merges:
            return False
        kind, samples = chosen
        merge = self._merges[kind]
        sql = (
            "SELECT messages.last, body FROM messages JOIN kinds USING (kind)"
            " WHERE kind = ? AND samples = ? AND messages.last > offered ORDER BY messages.last LIMIT ?"
        )
        rows = db.execute(sql, (kind, samples, STEP)).fetchall()
        for (old, one), (new, other) in zip(rows[::2], rows[1::2], strict=False):
            body = _encode(merge(json.loads(one), json.loads(other)))
            db.execute("DELETE FROM messages WHERE kind = ? AND last = ?", (kind, old))
            sql = "UPDATE messages SET samples = ?, body = ? WHERE kind = ? AND last = ?"
            db.execute(sql, (2 * samples, body, kind, new))
        return True

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Work on the file; if it is damaged, set it aside and work on a new one."""
        with self._lock:
            try:
                for attempt in range(2):
                    try:
                        return work(self._opened())
                    except sqlite3.OperationalError:
                        raise
                    except (sqlite3.DatabaseError, json.JSONDecodeError) as e:  # damaged
                        if attempt:
                            raise
                        self._set_aside(str(e))
                raise AssertionError
            except sqlite3.Error as e:
                raise OSError(f"{self._path}: {e}") from e

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and not self._is_ours():
            self._drop()  # another process has set the file aside
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.touch(0o600)
            self._inode = self._path.stat().st_ino
            db = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self._db = db
            if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("the check of the file failed")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # every transaction is on the disk when it ends
            db.execute("PRAGMA wal_autocheckpoint = 32")
            db.executescript(SCHEMA)
            with self._transaction(db):
                db.execute("INSERT INTO outbox SELECT ? WHERE NOT EXISTS (SELECT * FROM outbox)", (secrets.randbits(31),))
            (self.id,) = db.execute("SELECT id FROM outbox").fetchone()
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _is_ours(self) -> bool:
        return self._path.exists() and self._path.stat().st_ino == self._inode

    def _set_aside(self, why: str) -> None:
        """Unless another process has done it already."""
        self._drop()
        if self._is_ours():
            aside = self._path.with_name(f"{self._path.name}.damaged")
            for ending in ("-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            self._path.replace(aside)
            self._note(f"{self._path} is damaged ({why}): set aside as {aside.name}, what waited in it is not told")


def _live_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def _encode(body: Message) -> str:
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    if len(text) > MOST_MESSAGE:
        raise ValueError(f"a message of {len(text)} bytes is too large")
    return text

"""The store of a Linux board as two slots, for a laptop on its serial port: what firmware/store is to a microcontroller.

One slot is what runs, the other takes uploads. An upload is kept as chunks, and written down after each, so that it goes on
where it was cut off, also after a restart. Every change of what runs is one commit of the store, as the agent makes them.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ...errors import TrustError, UsageError
from ..disk import Disk, discard, put
from ..documents import sha256
from .needs import SPARE
from .state import STARTS, begin_trial, confirm, count, count_start, drop_trial, give_up
from .store import Store

CHUNK = 1 << 17  # bytes between two notes of how far an upload is
LARGEST = 1 << 31  # bytes of a model
_NOTE = "upload"
_NONE = bytes(32)


@dataclass
class _Upload:
    """A file that comes, or came: its SHA-256 in hexadecimal, bytes, security number, and the chunks that are here."""

    sha: str
    size: int
    security: int
    chunks: list[str] = field(default_factory=list)


class StoreShelf:
    """Two slots of a store that nobody else uses meanwhile.

    Args:
        disk: where the store is.
        free: bytes that are free there.
        service: systemd unit that a reset restarts; "": none, for what follows the store needs none.

    Raises:
        OSError: the store cannot be used.
    """

    def __init__(self, disk: Disk, free: Callable[[], int], service: str = "") -> None:
        self._free, self._service = free, service
        self._store = Store(disk)
        self._sizes: dict[str, int] = {}  # of whole files
        self._rest = b""  # of an upload, that makes no whole chunk yet
        self._restarts: list[subprocess.Popen[bytes]] = []
        self._upload = self._noted()
        if self._store.state.trial:  # as many starts without a confirmation count as crashes
            state = count_start(self._store.state)
            self._store.commit(give_up(state, state.trial or "", "failed-crash") if state.starts > STARTS else state)
        state = self._store.state
        other = self._upload.sha if self._upload and self._upload.sha != state.running else None
        self._places = [state.running, other or (state.active if state.trial else state.previous)]

    @property
    def slot_bytes(self) -> int:
        return max(0, min(LARGEST, (self._free() - SPARE) // 2))  # chunks, and what they become

    @property
    def floor(self) -> int:
        return self._store.state.floors.security

    @property
    def starts(self) -> int:
        return STARTS - self._store.state.starts if self._store.state.trial else STARTS

    def slots(self) -> list[dict[str, Any]]:
        return [self._slot(model) for model in self._places]

    def _slot(self, model: str | None) -> dict[str, Any]:
        state, upload = self._store.state, self._upload if self._upload and self._upload.sha == model else None
        if model is None:
            return {"state": "empty", "run": False, "bytes": 0, "sha": _NONE, "sec": 0}
        here = self._store.has_model(model)
        names = {state.trial: "trial", state.active: "confirmed"}
        word = names.get(model) or ("broken" if model in state.failed else "ready") if here else "loading"
        size = self._size(model) if here else upload.size if upload else 0
        security = state.security if model == state.trial else upload.security if upload else self.floor
        return {"state": word, "run": model == state.running, "bytes": size, "sha": bytes.fromhex(model), "sec": security}

    def data(self, slot: int) -> bytes:
        model = self._places[slot]
        return b"".join(self._store.disk.read(f"models/{model}.tody")) if model and self._store.has_model(model) else b""

    def _size(self, model: str) -> int:
        if model not in self._sizes:
            self._sizes[model] = sum(map(len, self._store.disk.read(f"models/{model}.tody")))
        return self._sizes[model]

    def begin(self, size: int, sha: bytes, security: int) -> int:
        model = sha256(sha.hex())
        if model not in self._places:
            if self._store.state.trial:
                raise UsageError("a model is on trial", "what it would fall back to is kept", "confirm it, or go back")
            self._places[self._idle()] = model
        old = self._upload if self._upload and (self._upload.sha, self._upload.size) == (model, size) else None
        self._upload, self._rest = replace(old, security=security) if old else _Upload(model, size, security), b""
        if self._store.has_model(model):
            self._note()
            return size
        sound = [self._store.chunk(chunk) is not None for chunk in self._upload.chunks]
        here = min([*(i for i, whole in enumerate(sound) if not whole), (size - 1) // CHUNK])  # the last one comes anew
        self._upload.chunks = self._upload.chunks[:here]
        self._store.tidy(chunks=self._upload.chunks)
        self._note()
        return CHUNK * len(self._upload.chunks)

    def _idle(self) -> int:
        """The slot whose model does not run."""
        running = self._store.state.running
        return 1 if running is not None and self._places[0] == running else 0

    def write(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= CHUNK:
            self._keep(self._rest[:CHUNK])
            self._rest = self._rest[CHUNK:]

    def _keep(self, piece: bytes) -> None:
        name = hashlib.sha256(piece).hexdigest()
        self._store.add_chunks({name: piece})
        self._uploading().chunks.append(name)
        self._note()

    def finish(self) -> None:
        upload = self._uploading()
        if self._rest:
            self._keep(self._rest)
            self._rest = b""
        try:
            self._store.assemble(upload.sha, upload.chunks)
        except TrustError:
            self._forget()
            raise
        upload.chunks = []
        self._note()

    def _uploading(self) -> _Upload:
        if self._upload is None:
            raise UsageError("there is no upload", "none was announced since the last one failed")
        return self._upload

    def _forget(self) -> None:
        """The upload is none any more."""
        if self._upload:
            self._places = [None if model == self._upload.sha else model for model in self._places]
        self._upload, self._rest = None, b""
        discard(self._store.disk, _NOTE)
        self._store.tidy()

    def erase(self, slot: int) -> None:
        model, state = self._places[slot], self._store.state
        if model is not None and model in (state.trial, state.active):
            raise UsageError("the slot is in use", "its model runs, or is what a trial would fall back to")
        if model is not None and model == state.previous:
            self._store.commit(replace(state, previous=None))
        self._places[slot] = None
        if self._upload and self._upload.sha == model:
            self._forget()
        self._store.tidy()

    def activate(self, slot: int) -> None:
        model, state = self._places[slot] or "", self._store.state
        security = int(self._slot(model)["sec"])
        back = model == state.active
        self._store.commit(drop_trial(state) if back else count_start(begin_trial(state, model, security)))

    def confirm(self) -> None:
        if self._store.state.trial:
            self._store.commit(confirm(self._store.state))
            self._store.tidy()

    def back(self) -> None:
        state = self._store.state
        bad = state.running
        if bad is None or not (state.active if state.trial else state.previous):
            raise UsageError("there is no model before", "this is the first one")
        before = state if state.trial else replace(state, active=state.previous, previous=None)
        self._store.commit(give_up(before, bad, "failed-test"))
        if self._store.state.running not in self._places:
            self._places[1 - self._places.index(bad)] = self._store.state.running

    def reset(self) -> None:
        self._restarts = [process for process in self._restarts if process.poll() is None]
        if self._service:
            self._restarts.append(subprocess.Popen(["systemctl", "restart", self._service], stdin=subprocess.DEVNULL))

    def _noted(self) -> _Upload | None:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            note = _Upload(**json.loads(b"".join(self._store.disk.read(_NOTE))))
            size, security = count(note.size), count(note.security)
            return _Upload(sha256(note.sha), size, security, [sha256(chunk) for chunk in note.chunks])
        return None

    def _note(self) -> None:
        put(self._store.disk, _NOTE, [json.dumps(asdict(self._uploading())).encode()])

"""fake://board: a device without a device, that speaks the same messages from memory. It forgets when the program ends."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import format
from .._runtime import Runtime, __version__
from ..errors import ModelError
from ..golden import splitmix64
from . import cbor, frame
from .client import IMAGE, OS, READ, TODY, WRITE

SLOT_BYTES, ARENA_BYTES, BUFFER_BYTES, BLOCK = 1 << 20, 1 << 19, 2048, 256
_SHA = 32

Values = dict[str, Any]


class _Refusal(Exception):
    """Its argument is the number of the error."""


@dataclass
class _Slot:
    data: bytes = b""
    wanted: int = 0  # bytes of the upload
    sha: bytes = bytes(_SHA)
    state: str = "empty"


class FakeLine:
    """The line to a device of its own."""

    def __init__(self, board: str) -> None:
        self.sent = self.received = 0
        self.rate = 1e6
        self._device = FakeDevice(board)
        self._answers: deque[bytes] = deque()

    def send(self, message: bytes) -> None:
        self.sent += frame.wire_bytes(len(message))
        self._answers.append(self._device.answer(message))

    def receive(self, timeout: float) -> frame.Event | None:
        if not self._answers:
            time.sleep(timeout)
            return None
        self.received += frame.wire_bytes(len(self._answers[0]))
        return self._answers.popleft()

    def close(self) -> None:
        self._answers.clear()


class FakeDevice:
    """Answers messages as firmware/link does."""

    def __init__(self, board: str) -> None:
        self.board, self.begun = board, time.monotonic()
        self.slots = [_Slot(), _Slot()]
        self.target = self.slots[0]
        self.current: _Slot | None = None
        self.before: _Slot | None = None
        self.runtime: Runtime | None = None
        self.commands: dict[tuple[int, int, int], Callable[[Values], Values]] = {
            (OS, WRITE, 0): lambda v: {"r": v["d"]},
            (OS, WRITE, 5): lambda v: {},
            (OS, READ, 6): lambda v: {"buf_size": BUFFER_BYTES, "buf_count": 1},
            (IMAGE, WRITE, 1): self.upload,
            (IMAGE, WRITE, 5): self.erase,
            (TODY, READ, 0): self.info,
            (TODY, READ, 1): lambda v: {"ops": list(format.OPS)[v["off"] :], "n": len(format.OPS)},
            (TODY, READ, 2): self.list_slots,
            (TODY, READ, 3): self.blocks,
            (TODY, WRITE, 4): self.copy,
            (TODY, WRITE, 5): self.input,
            (TODY, WRITE, 6): self.run,
            (TODY, READ, 7): self.output,
            (TODY, WRITE, 8): self.golden,
            (TODY, READ, 9): self.profile,
            (TODY, WRITE, 10): self.activate,
            (TODY, WRITE, 11): self.confirm,
            (TODY, WRITE, 12): self.back,
            (TODY, READ, 13): self.need,
        }

    def answer(self, message: bytes) -> bytes:
        op, group, command = message[0] & 7, int.from_bytes(message[4:6], "big"), message[7]
        try:
            body = self.commands[group, op, command](cbor.decode(message[8:]))
        except _Refusal as e:
            body = {"rc": e.args[0]}
        except KeyError as e:  # the command, or an argument
            body = {"rc": 8 if isinstance(e.args[0], tuple) else 3}
        data = cbor.encode(body)
        return bytes([message[0] + 1, 0]) + len(data).to_bytes(2, "big") + message[4:8] + data

    def info(self, v: Values) -> Values:
        up = int((time.monotonic() - self.begun) * 1e3)
        sizes = {"slot": SLOT_BYTES, "arena": ARENA_BYTES, "buf": BUFFER_BYTES, "up": up, "boots": 1, "safe": False}
        fmt = format.MAJOR << 8 | format.MINOR
        return {"v": __version__, "fmt": fmt, "board": self.board, "cpu": "none", "kern": "portable", **sizes}

    def list_slots(self, v: Values) -> Values:
        def facts(i: int, s: _Slot) -> Values:
            return {
                "slot": i, "state": s.state, "run": s is self.current, "bytes": len(s.data), "sha": s.sha, "sec": 0
            }  # fmt: skip

        return {"slots": [facts(i, s) for i, s in enumerate(self.slots)], "floor": 0}

    def upload(self, v: Values) -> Values:
        if v["off"] == 0 and "len" in v:
            self._begin(v["len"], v["sha"])
        return self._go_on(v["off"], v["data"])

    def _begin(self, length: int, sha: bytes) -> None:
        if not 0 < length <= SLOT_BYTES:
            raise _Refusal(3)
        same = [s for s in self.slots if s.sha == sha and s.wanted == length]
        self.target = same[0] if same else next(s for s in self.slots if s is not self.current)
        if not same:
            self._empty(self.target)
            self.target.wanted, self.target.sha, self.target.state = length, sha, "loading"

    def _empty(self, slot: _Slot) -> None:
        if slot is self.before:
            self.before = None
        slot.data, slot.wanted, slot.sha, slot.state = b"", 0, bytes(_SHA), "empty"

    def _go_on(self, at: int, data: bytes) -> Values:
        slot = self.target
        if not slot.wanted:
            raise _Refusal(6)
        if at == len(slot.data) and data:
            if len(slot.data) + len(data) > slot.wanted:
                raise _Refusal(3)
            slot.data += data
            if len(slot.data) == slot.wanted:
                self._finish(slot)
        whole = {"match": True} if len(slot.data) == slot.wanted else {}
        return {"off": len(slot.data), **whole}

    def _finish(self, slot: _Slot) -> None:
        if hashlib.sha256(slot.data).digest() != slot.sha:
            self._empty(slot)
            raise _Refusal(9)
        slot.state = "ready"

    def copy(self, v: Values) -> Values:
        source = self.slots[v["slot"]].data[v["from"] : v["from"] + v["n"]]
        return self._go_on(v["off"], source)

    def erase(self, v: Values) -> Values:
        slot = self.slots[v.get("slot", 0)]
        if slot is self.current:
            raise _Refusal(6)
        self._empty(slot)
        return {}

    def blocks(self, v: Values) -> Values:
        data = self.slots[v["slot"]].data
        places = range(v["off"], v["off"] + v["n"] * BLOCK, BLOCK)
        return {"block": BLOCK, "crc": b"".join(zlib.crc32(data[i : i + BLOCK]).to_bytes(4, "big") for i in places)}

    def _open(self, slot: _Slot) -> None:
        try:
            runtime = Runtime(slot.data, 1, "portable")
        except ModelError as e:
            raise _Refusal(256 + 4) from e
        if runtime.arena_bytes + runtime.scratch_bytes > ARENA_BYTES:
            raise _Refusal(256 + 13)
        self.runtime = runtime

    def activate(self, v: Values) -> Values:
        slot = self.slots[v["slot"]]
        if slot is not self.current:
            if slot.state not in ("ready", "trial", "confirmed"):
                raise _Refusal(6)
            self._open(slot)
            self.before, self.current, slot.state = self.current, slot, "trial"
        return {}

    def confirm(self, v: Values) -> Values:
        self._loaded()
        for slot in self.slots:
            slot.state = "confirmed" if slot is self.current else "ready" if slot.state == "confirmed" else slot.state
        return {}

    def back(self, v: Values) -> Values:
        if self.before is None or self.current is None:
            raise _Refusal(6)
        self._open(self.before)
        self.current.state, self.current, self.before = "broken", self.before, None
        return {}

    def _loaded(self) -> Runtime:
        if self.runtime is None:
            raise _Refusal(5)
        return self.runtime

    def input(self, v: Values) -> Values:
        array = np.asarray(self._loaded().inputs[v.get("i", 0)])
        if "seed" in v:
            array[...] = splitmix64(v["seed"], array.shape, v["low"], v["high"], str(array.dtype))
            return {}
        array.view(np.uint8).reshape(-1)[v["off"] : v["off"] + len(v["data"])] = np.frombuffer(v["data"], np.uint8)
        return {"off": v["off"] + len(v["data"])}

    def run(self, v: Values) -> Values:
        runtime, begin = self._loaded(), time.perf_counter()
        runtime.run()
        return {"us": int((time.perf_counter() - begin) * 1e6)}

    def output(self, v: Values) -> Values:
        data = np.asarray(self._loaded().outputs[v.get("i", 0)]).tobytes()
        return {"off": v["off"], "n": len(data), "data": data[v["off"] : v["off"] + v.get("most", 1536)]}

    def golden(self, v: Values) -> Values:
        got = np.asarray(self._loaded().outputs[v["i"]]).reshape(-1)[:: v["stride"]][: v["n"]]
        stored = self.current.data if self.current else b""
        want = np.frombuffer(stored, got.dtype, v["n"], v["off"])
        difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
        return {
            "bad": int(np.sum(got != want)),
            "diff": float(difference.max()),
            "peak": float(np.abs(want.astype(float)).max()),
        }

    def profile(self, v: Values) -> Values:
        runtime, begin = self._loaded(), time.perf_counter()
        runtime.step(v["op"])
        us = int((time.perf_counter() - begin) * 1e6)
        return {"name": runtime.op_names[v["op"]], "us": us, "n": len(runtime.op_names)}

    def need(self, v: Values) -> Values:
        r = self._loaded()
        sizes = {"arena": r.arena_bytes, "scratch": r.scratch_bytes, "ops": len(r.op_names)}
        return {**sizes, "in": len(r.inputs), "out": len(r.outputs)}

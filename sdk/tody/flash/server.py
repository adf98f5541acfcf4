"""The device's end of the wire in Python: answers messages as firmware/link does, for models that lie on a shelf."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable

import numpy as np

from .. import format
from .._runtime import Runtime, __version__
from ..errors import ModelError, TrustError, UsageError
from ..golden import splitmix64
from . import cbor, frame, rc
from .client import HEADER, IMAGE, OS, READ, TODY, WRITE
from .rc import Refusal, u32
from .shelf import Shelf, Values

BLOCK = 256  # bytes that a checksum covers
_BLOCKS_AT_ONCE = 480  # as firmware/link has it
_OVERHEAD = 64  # bytes of an answer that are not data, at most
_DAMAGED, _RAM = 4, 13  # tody_status, without its sign
_HOLDING = ("ready", "trial", "confirmed")


class Server:
    """Answers messages.

    Args:
        shelf: where the models are.
        board, cpu: names.
        arena_bytes: RAM for a model.
        buffer_bytes: of the largest packet.
        kernels: the set that models run with; None: the best one here.
    """

    def __init__(
        self, shelf: Shelf, board: str, cpu: str, arena_bytes: int, buffer_bytes: int = 2048, kernels: str | None = None
    ) -> None:
        self.shelf, self.board, self.cpu, self.kernels = shelf, board, cpu, kernels
        self.arena_bytes, self.buffer_bytes = arena_bytes, buffer_bytes
        self.begun = time.monotonic()
        self.runtime: Runtime | None = None
        self._wanted = self._next = 0  # bytes of the upload; 0: none since the start
        self.commands: dict[tuple[int, int, int], Callable[[Values], Values]] = {
            (OS, WRITE, 0): lambda v: {"r": v["d"]},
            (OS, WRITE, 5): self.reset,
            (OS, READ, 6): lambda v: {"buf_size": self.buffer_bytes, "buf_count": 1},
            (IMAGE, READ, 0): self.images,
            (IMAGE, WRITE, 0): self.set_image,
            (IMAGE, WRITE, 1): self.upload,
            (IMAGE, WRITE, 5): self.erase,
            (TODY, READ, 0): self.info,
            (TODY, READ, 1): lambda v: {"ops": list(format.OPS)[v.get("off", 0) :], "n": len(format.OPS)},
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
            (TODY, READ, 14): self.metadata,
        }
        with contextlib.suppress(Refusal):  # a model that does not open: without one it answers, and can be given another
            self._open_running()

    def answer(self, message: bytes) -> bytes:
        """The answer to a message; b"" to what asks nothing."""
        if len(message) < HEADER or message[0] & 5:
            return b""
        op, group, command = message[0] & 7, int.from_bytes(message[4:6], "big"), message[7]
        try:
            data = self._answered((group, op, command), message)
        except Refusal as e:
            data = cbor.encode({"rc": e.args[0]})
        return bytes([message[0] + 1, 0]) + len(data).to_bytes(2, "big") + message[4:8] + data

    def _answered(self, key: tuple[int, int, int], message: bytes) -> bytes:
        """The map of the answer."""
        if key not in self.commands:
            raise Refusal(rc.UNSUPPORTED)
        try:
            data = cbor.encode(self.commands[key](cbor.decode(message[HEADER:])))
        except IndexError as e:
            raise Refusal(rc.NO_ENTRY) from e
        except UsageError as e:
            raise Refusal(rc.BAD_STATE) from e
        except TrustError as e:
            raise Refusal(rc.CORRUPT) from e
        except OSError as e:
            raise Refusal(rc.UNKNOWN) from e
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError, RecursionError) as e:
            raise Refusal(rc.INVALID) from e
        if frame.packet_bytes(HEADER + len(data)) > self.buffer_bytes:
            raise Refusal(rc.TOO_LARGE)
        return data

    def info(self, v: Values) -> Values:
        up, shelf = int((time.monotonic() - self.begun) * 1e3), self.shelf
        sizes = {"slot": shelf.slot_bytes, "arena": self.arena_bytes, "buf": self.buffer_bytes, "up": up}
        safe = self.runtime is None and any(s["run"] or s["state"] == "broken" for s in shelf.slots())
        kernels = self.runtime.kernels if self.runtime else self.kernels or "best"
        fmt = format.MAJOR << 8 | format.MINOR
        return {
            "v": __version__,
            "fmt": fmt,
            "board": self.board,
            "cpu": self.cpu,
            "kern": kernels,
            **sizes,
            "boots": shelf.starts,
            "safe": safe,
        }

    def list_slots(self, v: Values) -> Values:
        slots = [{"slot": i, **s} for i, s in enumerate(self._slots())]
        first, most = u32(v.get("off", 0)), u32(v.get("most", len(slots)))
        if first > len(slots):
            raise Refusal(rc.INVALID)
        return {"n": len(slots), "slots": slots[first : first + most], "floor": self.shelf.floor}

    def _slots(self) -> list[Values]:
        """Those of the shelf; a model that did not open does not run."""
        return [{**s, "run": s["run"] and self.runtime is not None} for s in self.shelf.slots()]

    def images(self, v: Values) -> Values:
        """The slots as stock tools see them."""

        def image(i: int, s: Values) -> Values:
            flags = {"bootable": True, "active": s["run"], "confirmed": s["state"] == "confirmed"}
            pending = not s["run"] and s["state"] == "trial"
            return {"slot": i, "version": f"0.0.{s['sec']}", "hash": s["sha"], **flags, "pending": pending}

        return {"images": [image(i, s) for i, s in enumerate(self._slots()) if s["state"] in _HOLDING]}

    def set_image(self, v: Values) -> Values:
        """Test and confirm, of stock tools."""
        if "hash" in v:
            held = [i for i, s in enumerate(self.shelf.slots()) if s["sha"] == v["hash"] and s["state"] in _HOLDING]
            try:
                self.activate({"slot": held[0]})
            except Refusal as e:  # stock tools know no others
                raise Refusal(e.args[0] if e.args[0] < rc.MODEL else rc.BAD_STATE) from e
        elif not v.get("confirm"):
            raise Refusal(rc.INVALID)
        if v.get("confirm"):
            self.confirm(v)
        return self.images(v)

    def upload(self, v: Values) -> Values:
        if v.get("image", 0) != 0:
            raise Refusal(rc.INVALID)
        if v["off"] == 0 and "len" in v:
            self._begin(u32(v["len"]), v["sha"], u32(v["sec"]) if "sec" in v else self.shelf.floor)
        return self._go_on(v["off"], v["data"])

    def _begin(self, size: int, sha: bytes, security: int) -> None:
        self._wanted = 0
        if not 0 < size <= self.shelf.slot_bytes or not isinstance(sha, bytes) or len(sha) != 32:
            raise Refusal(rc.INVALID)
        if security < self.shelf.floor:
            raise Refusal(rc.BAD_STATE)
        self._next = self.shelf.begin(size, sha, security)
        self._wanted = size

    def _go_on(self, at: int, data: bytes) -> Values:
        if not self._wanted:
            raise Refusal(rc.BAD_STATE)
        if at == self._next < self._wanted and data:
            if len(data) > self._wanted - at:
                raise Refusal(rc.INVALID)
            wanted, self._wanted = self._wanted, 0  # if this fails, the next upload asks the shelf how far it is
            self.shelf.write(data)
            if at + len(data) == wanted:
                self.shelf.finish()
            self._wanted, self._next = wanted, at + len(data)
        return {"off": self._next, **({"match": True} if self._next == self._wanted else {})}

    def copy(self, v: Values) -> Values:
        return self._go_on(v["off"], self.shelf.data(v["slot"])[v["from"] : v["from"] + v["n"]])

    def erase(self, v: Values) -> Values:
        self._wanted = 0
        idle = [i for i, s in enumerate(self.shelf.slots()) if not s["run"]]
        self.shelf.erase(v.get("slot", idle[0]))
        return {}

    def blocks(self, v: Values) -> Values:
        data = self.shelf.data(v["slot"])
        if v["n"] > _BLOCKS_AT_ONCE:
            raise Refusal(rc.INVALID)
        places = range(v["off"], v["off"] + v["n"] * BLOCK, BLOCK)
        return {"block": BLOCK, "crc": b"".join(zlib.crc32(data[i : i + BLOCK]).to_bytes(4, "big") for i in places)}

    def metadata(self, v: Values) -> Values:
        """Of the file in a slot: from it a laptop knows the model's name."""
        data = self.shelf.data(v["slot"])
        try:
            header = format.read_header(data)
        except ModelError as e:
            raise Refusal(rc.NO_ENTRY) from e
        return self._part(data[header.meta_at : header.meta_at + header.meta_bytes], v)

    def _part(self, data: bytes, v: Values) -> Values:
        most = min(v.get("most", self.buffer_bytes), self.buffer_bytes - _OVERHEAD)
        return {"off": v["off"], "n": len(data), "data": data[v["off"] : v["off"] + most]}

    def _running(self) -> int | None:
        return next((i for i, s in enumerate(self.shelf.slots()) if s["run"]), None)

    def _open_running(self) -> None:
        """Open the model that the shelf says runs; where it does not open, none does."""
        self.runtime, running = None, self._running()
        if running is not None:
            self._open(running)

    def _open(self, slot: int) -> None:
        """Open the file of a slot to run it here."""
        try:
            runtime = Runtime(self.shelf.data(slot), 1, self.kernels)
        except MemoryError as e:  # MemoryLimitError is one
            raise Refusal(rc.MODEL + _RAM) from e
        except ModelError as e:
            raise Refusal(rc.MODEL + _DAMAGED) from e
        if runtime.arena_bytes + runtime.scratch_bytes > self.arena_bytes:
            raise Refusal(rc.MODEL + _RAM)
        self.runtime = runtime

    def activate(self, v: Values) -> Values:
        slot = self.shelf.slots()[v["slot"]]
        if slot["state"] not in _HOLDING:
            raise Refusal(rc.BAD_STATE)
        if not slot["run"] or self.runtime is None:
            self._open(v["slot"])
        if not slot["run"]:
            self.shelf.activate(v["slot"])
        return {}

    def confirm(self, v: Values) -> Values:
        self._loaded()
        self.shelf.confirm()
        return {}

    def back(self, v: Values) -> Values:
        self.shelf.back()
        self._open_running()
        return {}

    def reset(self, v: Values) -> Values:
        self.shelf.reset()
        return {}

    def _loaded(self) -> Runtime:
        if self.runtime is None:
            raise Refusal(rc.NO_ENTRY)
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
        return self._part(np.asarray(self._loaded().outputs[v.get("i", 0)]).tobytes(), v)

    def golden(self, v: Values) -> Values:
        got = np.asarray(self._loaded().outputs[v["i"]]).reshape(-1)[:: v["stride"]][: v["n"]]
        stored = self.shelf.data(self._running() or 0)
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

"""The commands of a device, as docs/flash.md lists them, and their answers checked for what they must hold."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from .. import container
from ..errors import DeviceError, MemoryLimitError, ModelError, TodyError
from . import golden, rc
from .address import Address
from .client import HEADER, IMAGE, OS, READ, TODY, WRITE, Client, Refused
from .fits import Info
from .frame import packet_bytes
from .slots import Layer, Slot, image, slot

_ECHO, _RESET, _PARAMS = 0, 5, 6
_STATE, _ERASE = 0, 5
_INFO, _OPS, _SLOTS, _BLOCKS = 0, 1, 2, 3
_INPUT, _RUN, _OUTPUT, _GOLDEN, _PROFILE = 5, 6, 7, 8, 9
_ACTIVATE, _CONFIRM, _BACK, _NEED, _METADATA = 10, 11, 12, 13, 14

_OVERHEAD = packet_bytes(HEADER)
_UNKNOWN_BUFFER = 256  # where a device does not say how large a packet may be
_BLOCKS_AT_ONCE = 256
_SLOT_BYTES = 100  # that a slot takes in an answer, about
_RUN_SECONDS, _RUN_SHARE = 120.0, 0.25  # a device that is asked twice runs twice
_MOST = 1 << 16  # operators, of a device or a model; a device that tells of more is not believed
_OPEN_SECONDS = 30.0
_LONGEST_METADATA = 1 << 16  # bytes in which a name is looked for
_FITS = {13: "arena and scratch do not fit into its RAM", 7: "it lacks an operator"}  # by tody_status, without its sign
_OPENS = {
    3: "its runtime does not know the file's version", 5: "a checksum of the file does not match",
    11: "an operator is not defined there for this dtype", 15: "the file is coded",
}  # fmt: skip


@contextmanager
def understood() -> Iterator[None]:
    """Answers that lack something, or have it of another type, end as a DeviceError."""
    try:
        yield
    except TodyError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise DeviceError("the device answers nonsense", f"{type(e).__name__}: {e}", "update its firmware") from e


class Commands:
    """What a device can be asked.

    Args:
        address: of the device, for messages.
        client: the line to it.
    """

    def __init__(self, address: Address, client: Client) -> None:
        self.address, self.client = address, client
        self.last_run_us = 0  # of the last `run_once`, by its own clock
        self._limit = 0

    @cached_property
    @understood()
    def info(self) -> Info:
        """What it says of itself.

        Raises:
            DeviceError: it does not run tody.
        """
        try:
            facts = self.client.ask(TODY, READ, _INFO, {}, "what the device is")
            version, board, cpu, kernels = (str(facts[k]) for k in ("v", "board", "cpu", "kern"))
            newest, slot, arena, buffer, uptime, boots = (int(facts[k]) for k in ("fmt", "slot", "arena", "buf", "up", "boots"))
            names = (version, divmod(newest, 256), board, cpu, kernels)
            return Info(*names, slot, arena, buffer, uptime, boots, bool(facts["safe"]))
        except Refused as e:
            if e.rc != rc.UNSUPPORTED:
                raise
            what, why = f"{self.address} does not run tody", "it speaks SMP, but knows none of tody's commands"
            raise DeviceError(
                what, why, "flash firmware of tody first; or --file PATH puts a model into its file system"
            ) from e

    @cached_property
    def runs_tody(self) -> bool:
        """Whether it knows tody's own commands; other devices that speak SMP can be uploaded to, no more."""
        self.limit()
        try:
            return bool(self.info)
        except DeviceError as e:
            if isinstance(e.__cause__, Refused):
                return False
            raise

    def limit(self) -> int:
        """Bytes of CBOR that fit into a message, as it says."""
        if not self._limit:
            try:
                size = self.client.ask(OS, READ, _PARAMS, {}, "how large a message may be").get("buf_size")
            except Refused:
                size = None
            self._limit = max(size if isinstance(size, int) else _UNKNOWN_BUFFER, 128) - _OVERHEAD
        return min(self._limit, 1 << 15)

    def echo(self, text: str) -> str:
        return str(self.client.ask(OS, WRITE, _ECHO, {"d": text}, "echo").get("r"))

    def reset(self) -> None:
        """Start it anew."""
        self.client.ask(OS, WRITE, _RESET, {}, "reset")

    @understood()
    def operators(self) -> list[str]:
        """Names of the operators it has."""
        names: list[str] = []
        while True:
            answer = self._ask(READ, _OPS, {"off": len(names)}, "list the operators")
            found = [str(n) for n in answer["ops"]]
            names += found
            if not found or len(names) >= min(int(answer["n"]), _MOST):
                return names

    @understood()
    def slots(self) -> list[Slot]:
        """Its slots; of a device without tody, those of its images."""
        if not self.runs_tody:
            return [image(i) for i in self._images()]
        found: list[Slot] = []
        while True:
            most = max(self.client.best(_OVERHEAD + 20, self.limit() - 32) // _SLOT_BYTES, 1)
            answer = self._ask(READ, _SLOTS, {"off": len(found), "most": most}, "list the slots")
            some = [slot(s) for s in answer["slots"]]
            found += some
            if not some or len(found) >= min(int(answer.get("n", 0)), _MOST):
                return found

    def _images(self) -> list[dict[str, Any]]:
        try:
            return list(self.client.ask(IMAGE, READ, _STATE, {}, "list the images")["images"])
        except Refused as e:
            if e.rc != rc.UNSUPPORTED or e.group:
                raise
            return []  # it has no group of images

    @understood()
    def model_name(self, slot: int) -> str:
        """The name of the model in a slot, as its file says; "" where none is known."""
        data, total = b"", 1
        try:
            while len(data) < total <= _LONGEST_METADATA:
                most = self.client.best(_OVERHEAD + 20, self.limit() - 32)
                answer = self._ask(READ, _METADATA, {"slot": slot, "off": len(data), "most": most}, "give the metadata")
                data, total = data + bytes(answer["data"]), int(answer["n"]) if answer["data"] else 0
        except Refused:  # nothing is there, or its firmware does not tell
            return ""
        try:
            return str(container.split_meta(data)[0].get("name", ""))
        except (struct.error, ValueError, RecursionError):  # an upload that is not whole
            return ""

    @understood()
    def security_floor(self) -> int:
        """The lowest security number of a file that it still takes."""
        return int(self._ask(READ, _SLOTS, {"most": 0}, "list the slots")["floor"])

    def running(self) -> Slot | None:
        """The slot whose model runs."""
        return next((s for s in self.slots() if s.running), None)

    def erase(self, slot: int) -> None:
        """Empty a slot whose model does not run."""
        self.client.ask(IMAGE, WRITE, _ERASE, {"slot": slot}, "erase the slot", 40.0)

    def activate(self, slot: int) -> None:
        """Let the model of a slot run, on trial: it stays for good once `confirm` is called.

        Raises:
            MemoryLimitError: it does not fit. The model before runs on.
            ModelError: the runtime there does not open the file. The model before runs on.
        """
        try:
            self._ask(WRITE, _ACTIVATE, {"slot": slot}, "activate the model", _OPEN_SECONDS)
        except Refused as e:
            if e.rc < rc.MODEL:
                raise
            status, hint = e.rc - rc.MODEL, "the model before runs on; tody info MODEL says what it needs"
            if status in _FITS:
                raise MemoryLimitError("the device cannot run the model", _FITS[status], hint) from e
            raise ModelError("the device does not open the model", _OPENS.get(status, f"status -{status}"), hint) from e

    def confirm(self) -> None:
        """Keep the model that runs."""
        self._ask(WRITE, _CONFIRM, {}, "confirm the model", 5.0)

    def back(self) -> None:
        """Let the model before run again."""
        before = self.running()
        try:
            self.client.ask(TODY, WRITE, _BACK, {}, "go back to the model before", _OPEN_SECONDS, once=True)
        except DeviceError:
            if self.running() == before:  # else only its answer was lost
                raise

    @understood()
    def checksums(self, slot: int, count: int) -> tuple[list[int], int]:
        """CRC-32 of the first so many blocks of a slot, and the bytes of a block."""
        found: list[int] = []
        block, most = 0, min(4 * _BLOCKS_AT_ONCE, self.limit() - 32)
        while len(found) < count or not block:
            n = min(max(self.client.best(_OVERHEAD + 16, most) // 4, 1), count - len(found))
            values = {"slot": slot, "off": len(found) * block, "n": n}
            answer = self._ask(READ, _BLOCKS, values, "checksums of a slot", 5.0)
            crc, block = bytes(answer["crc"]), int(answer["block"])
            if len(crc) != 4 * n or not 16 <= block <= 1 << 16:
                raise ValueError("checksums are missing")
            found += np.frombuffer(crc, ">u4").tolist()
        return found, block

    def make_input(self, fill: golden.Fill) -> None:
        """Have an input made there."""
        self._ask(WRITE, _INPUT, fill._asdict(), "make a golden input", _OPEN_SECONDS)

    def write_input(self, index: int, data: bytes) -> None:
        at = 0
        while at < len(data):
            room = self.client.best(_OVERHEAD + 20, self.limit() - 32)
            self._ask(WRITE, _INPUT, {"i": index, "off": at, "data": data[at : at + room]}, "take an input")
            at += room

    @understood()
    def run_once(self) -> int:
        """One inference; microseconds that it took there."""
        self.last_run_us = int(self._ask(WRITE, _RUN, {}, "run the model", _RUN_SECONDS, _RUN_SHARE)["us"])
        return self.last_run_us

    @understood()
    def read_output(self, index: int, size: int) -> bytes:
        """The bytes of an output, so many as it has."""
        data = b""
        while True:
            most = self.client.best(_OVERHEAD + 20, self.limit() - 32)
            answer = self._ask(READ, _OUTPUT, {"i": index, "off": len(data), "most": most}, "give an output")
            if not answer["data"]:
                raise ValueError("an output is cut off")
            data += bytes(answer["data"])
            if int(answer["n"]) != size or len(data) > size:
                raise ValueError(f"an output of another size than {size}")
            if len(data) == size:
                return data

    def compare(self, c: golden.Compare) -> dict[str, Any]:
        """How far an output is from the stored one: what `golden.error` takes."""
        return self._ask(WRITE, _GOLDEN, {"i": c.i, "off": c.off, "n": c.n, "stride": c.stride}, "compare an output", 5.0)

    @understood()
    def profile(self) -> list[Layer]:
        """The time of each operator in one run."""
        layers: list[Layer] = []
        while True:
            answer = self._ask(READ, _PROFILE, {"op": len(layers)}, "time an operator", _RUN_SECONDS, _RUN_SHARE)
            layers.append(Layer(str(answer["name"]), int(answer["us"])))
            if len(layers) >= min(int(answer["n"]), _MOST):
                return layers

    @understood()
    def need(self) -> dict[str, int]:
        """Bytes of arena and scratch, and the number of inputs, outputs and operators, of the model that runs there."""
        return {k: int(v) for k, v in self._ask(READ, _NEED, {}, "what the model needs").items()}

    def _ask(
        self, op: int, command: int, values: dict[str, Any], name: str, work: float = 0.0, first: float = 0.05
    ) -> dict[str, Any]:
        return self.client.ask(TODY, op, command, values, name, work, first=first)

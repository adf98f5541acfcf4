"""Bring a file into a slot: in pieces that the line can carry, on from where it was cut off, without what is there already."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import DeviceError, TrustError
from . import rc
from .blocks import Copy
from .client import HEADER, IMAGE, TODY, WRITE, Client, Damaged, Refused, Silent
from .pace import Patience

ERASE_SECONDS = 40.0  # a whole slot, on the slowest flash
HASH_SECONDS = 30.0  # the device reads the slot back and hashes it
_OVERHEAD = 18  # bytes of CBOR around the bytes of a file
FIRST = 64  # bytes of the file in the announcement: Zephyr looks at the first 32 then
_UPLOAD, _COPY = 1, 4
_RESTARTS = 5  # without anything new
_VAIN = 2000  # pieces that bring nothing new; a restart may ask again for what has not reached the flash


class Upload:
    """One upload. `steps` does it and says from time to time how far it is.

    Args:
        client: the line to the device.
        data: the file.
        limit: bytes that a message may have, without header.
        base: the slot that `copies` stand in.
        copies: what the device shall take from there.
        security: number of the file; None: the lowest that the device still takes.
    """

    def __init__(
        self, client: Client, data: bytes, limit: int, base: int = 0, copies: Sequence[Copy] = (), security: int | None = None
    ) -> None:
        self.client, self.data, self.limit, self.base, self.copies = client, data, limit, base, list(copies)
        self.at = 0
        self.resumed = 0  # bytes that were there when it began
        self._sha = hashlib.sha256(data).digest()
        self._starts = [c.at for c in self.copies]
        self._security = {} if security is None else {"sec": security}

    def steps(self) -> Iterator[int]:
        """Bytes that are there, after each piece.

        Raises:
            TrustError: the device holds other bytes at the end.
            DeviceError: it refused, or is gone.
        """
        self.at = self._begin()
        self.resumed = self.at if self.at > FIRST else 0
        yield self.at
        restarts, highest, vain = 0, self.at, 0
        while self.at < len(self.data):
            try:
                self.at = self._next()
            except Refused as e:
                if not self._goes_on(e) or restarts == _RESTARTS:
                    raise self._explained(e) from e
                restarts += 1
                self.at = self._begin()
            if self.at > highest:
                highest, vain, restarts = self.at, 0, 0
            else:
                vain += 1
            if vain > _VAIN:
                raise DeviceError("the upload does not get on", f"byte {highest} is as far as it came", "update the firmware")
            yield self.at

    def _begin(self) -> int:
        """Announce the file, which has the slot erased unless it holds a part of this file. Returns where to go on."""
        values = {"image": 0, "len": len(self.data), "off": 0, "sha": self._sha, "data": self.data[:FIRST], **self._security}
        try:
            return self._offset(self.client.ask(IMAGE, WRITE, _UPLOAD, values, "begin the upload", ERASE_SECONDS))
        except Refused as e:
            raise self._explained(e) from e

    def _next(self) -> int:
        """Send the piece that comes next, as large as the line lets it through. Returns where to go on."""
        patience, tries = Patience(self.client.line, HASH_SECONDS if self._ends() else 0.0), 0
        silences = 0
        while True:
            group, command, values, count = self._piece()
            long = self.at + count == len(self.data) or command == _COPY  # it hashes the slot then, or programs much flash
            work = min(HASH_SECONDS, 2.0**silences) if long else 0.0
            try:
                return self._offset(self.client.ask(group, WRITE, command, values, "take a piece of the file", work, once=True))
            except Silent as e:
                tries, silences = tries + 1, silences + (not isinstance(e, Damaged))
                if patience.ends(tries):
                    raise

    def _ends(self) -> bool:
        """Whether the next piece may be the last."""
        return len(self.data) - self.at <= self.limit

    def _piece(self) -> tuple[int, int, dict[str, Any], int]:
        """Group, command and values of a message for what comes next, and how many bytes that is."""
        i = bisect_right(self._starts, self.at) - 1
        into = self.at - self._starts[i] if i >= 0 else 0
        if i >= 0 and into < self.copies[i].size:
            copy = self.copies[i]
            values = {"slot": self.base, "from": copy.source + into, "off": self.at, "n": copy.size - into}
            return TODY, _COPY, values, copy.size - into
        end = self._starts[i + 1] if i + 1 < len(self.copies) else len(self.data)
        piece = self.data[self.at : min(end, self.at + piece_bytes(self.client, self.limit, _OVERHEAD))]
        return IMAGE, _UPLOAD, {"off": self.at, "data": piece}, len(piece)

    def _goes_on(self, error: Refused) -> bool:
        """Whether to ask for the place to go on. It was reset meanwhile: it knows from its journal how far it was."""
        return error.rc == rc.BAD_STATE and not error.group

    def _explained(self, error: Refused) -> Exception:
        """What a refusal means to who sends a file."""
        if error.rc == rc.CORRUPT and not error.group:
            return TrustError("the device does not hold the bytes that were sent", "its SHA-256 differs", "flash once more")
        return error

    def _offset(self, answer: dict[str, Any]) -> int:
        off = answer.get("off")
        if answer.get("match") is False:
            raise self._explained(Refused("compare the SHA-256", rc.CORRUPT))
        if not isinstance(off, int) or not 0 <= off <= len(self.data):
            raise DeviceError(
                "the upload failed", f"the device wants byte {off!r} next", "press its reset button and try again"
            )
        return off


def piece_bytes(client: Client, limit: int, overhead: int) -> int:
    """How much of a file the next message should carry, which has `overhead` bytes of CBOR and may have `limit`."""
    return client.best(HEADER + overhead, limit - overhead)

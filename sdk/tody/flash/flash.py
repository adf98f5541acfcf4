"""tody flash, from a file to a model that runs on a device and has passed its test there."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import math
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import format
from ..errors import AccuracyError, TrustError, UsageError
from . import blocks, fits
from .client import Refused
from .device import Device
from .files import FileUpload
from .slots import Slot
from .upload import Upload

_DIFF_LEAST = 4096  # bytes of a file for which it pays to ask for checksums
_TIMEOUT, _TIMES = 300.0, 10  # seconds, and so many times what a sound line needs
_SLOWEST, _PAYLOAD = 11520, 0.71  # bytes/s of a line that says nothing of its speed; the share of them that is the file's


@dataclass
class Report:
    """What flashing came to.

    Attributes:
        model, board: names; board "" where the device does not run tody.
        file_bytes: of the file on the device.
        sha256: of it.
        sent: bytes on the wire, from the laptop.
        seconds: in all.
        slot: that it lies in; None: not known.
        already: it was there before.
        resumed: bytes that were there from an upload that was cut off.
        copied: bytes that the device took from its other slot.
        again: messages that had to be repeated.
        error: of the self-test, relative; None: not tested.
        state: of the slot in the end; "uploaded" where the device does not run tody.
    """

    model: str
    file_bytes: int
    sha256: str
    board: str = ""
    sent: int = 0
    seconds: float = 0.0
    slot: int | None = None
    already: bool = False
    resumed: int = 0
    copied: int = 0
    again: int = 0
    error: float | None = None
    state: str = "uploaded"


@dataclass(frozen=True)
class Step:
    """How far it is: bytes in stage "upload", else 0 of 1 and 1 of 1. `rate` in bytes/s, `left` in seconds."""

    stage: str
    done: int
    total: int
    rate: float = 0.0
    left: float = 0.0
    report: Report | None = field(default=None, repr=False)  # in the last one


def flash(device: Device, path: str, **options: Any) -> Report:
    """`steps`, to the end."""
    report = None
    for step in steps(device, path, **options):
        report = step.report
    assert report is not None
    return report


def steps(
    device: Device,
    path: str,
    *,
    activate: bool = True,
    verify: bool = False,
    diff: bool = True,
    any_device: bool = False,
    file: str | None = None,
    security: int | None = None,
    timeout: float | None = None,
) -> Iterator[Step]:
    """Check that the device can run a model, send it, have it compared, tested and confirmed.

    Args:
        path: a `.tody` file; a coded one is decoded here first.
        activate: let it run. Else it stays in its slot, ready.
        verify: read the checksums of all blocks back, beside the SHA-256 that the device compares anyway.
        diff: have the device copy what it holds already from its other slot.
        security: number of the file, 0 to 2^32 - 1: once a model of a number is confirmed, the device refuses lower ones. None:
            the lowest that it still takes.
        any_device: also upload to devices that speak SMP but do not run tody, which nothing can be asked of.
        file: put it into this file of the device's file system (SMP's group 8, which Zephyr has) and compare it there, no more.
        timeout: seconds after which it is given up, with the error `Late`. None: five minutes, and ten times what a line of
            this speed needs.

    Raises:
        UsageError, ModelError: the file cannot be used.
        MemoryLimitError: the device cannot run it. Nothing was sent, or the model before runs on.
        DeviceError: the device is gone, or refuses.
        TrustError: it holds other bytes.
        AccuracyError: the self-test failed there; the model before runs again.
    """
    name, data = _read(path)
    report = Report(name, len(data), hashlib.sha256(data).hexdigest())
    work = _Work(device, name, data, report, security)
    begin, sent, again = time.monotonic(), device.line.sent, device.client.again
    device.client.deadline = begin + (_usual(len(data), device.line.rate) if timeout is None else timeout)
    try:
        yield from work.put(file) if file is not None else _all(work, activate, verify, diff, any_device)
    finally:
        device.client.deadline = math.inf
    report.sent, report.seconds = device.line.sent - sent, time.monotonic() - begin
    report.again = device.client.again - again
    yield Step("done", 1, 1, report=report)


def _all(work: _Work, activate: bool, verify: bool, diff: bool, any_device: bool) -> Iterator[Step]:
    if any_device and not work.device.runs_tody:
        yield from work.upload(0, ())
    else:
        yield from work.check()
        yield from work.bring(diff, verify)
        if activate:
            yield from work.activate()
        work.report.state = work.mine().state


def _usual(size: int, rate: float) -> float:
    """Seconds after which an upload of so many bytes is given up."""
    return _TIMEOUT + _TIMES * size / (min(rate, _SLOWEST) * _PAYLOAD)


def _read(path: str) -> tuple[str, bytes]:
    """Name and plain bytes of a model that opens here."""
    from ..run.model import load

    model = load(path, threads=1, verify=True)
    try:
        return model.name, bytes(format.plain(Path(path).read_bytes()))
    except OSError as e:
        raise UsageError(f"cannot open {path}", e.strerror or str(e), "check the path") from e


class _Work:
    def __init__(self, device: Device, name: str, data: bytes, report: Report, security: int | None) -> None:
        self.device, self.name, self.data, self.report, self.security = device, name, data, report, security
        self.sha256 = bytes.fromhex(report.sha256)

    def check(self) -> Iterator[Step]:
        yield Step("check", 0, 1)
        info = self.device.info
        self.report.board = info.board
        fits.require(self.data, info, self.device.operators(), self.name)
        if self.security is not None and self.security < (floor := self.device.security_floor()):
            why = f"its number is {self.security}, the device has confirmed {floor}"
            raise TrustError(f"{self.name} is older than what the device may run", why, "flash a newer model", code="rollback")
        yield Step("check", 1, 1)

    def bring(self, diff: bool, verify: bool) -> Iterator[Step]:
        """Have the file in a slot, and know that it is there."""
        slots = self.device.slots()
        running = next((s for s in slots if s.running), None)
        self.report.already = any(self._is_mine(s) and s.state in ("ready", "trial", "confirmed") for s in slots)
        if not self.report.already:
            if running is not None and running.state == "trial":  # an earlier flash was cut off before its test
                self._back()
                running = self.device.running()
            yield from self.upload(*self._known(running if diff else None))
        mine = self.mine()
        if verify:
            yield Step("verify", 0, 1)
            self._verify(mine.index)
            yield Step("verify", 1, 1)

    def _known(self, base: Slot | None) -> tuple[int, tuple[blocks.Copy, ...]]:
        """What the device can copy from the model that runs there."""
        if base is None or len(self.data) < _DIFF_LEAST:
            return 0, ()
        _, block = self.device.checksums(base.index, 0)
        useful = min(base.file_bytes, 2 * len(self.data))
        checksums, block = self.device.checksums(base.index, useful // block)
        return base.index, tuple(blocks.find(self.data, checksums, block))

    def upload(self, base: int, copies: tuple[blocks.Copy, ...]) -> Iterator[Step]:
        """Send the file; without copies once more if what was copied turns out to be something else."""
        upload = Upload(self.device.client, self.data, self.device.limit(), base, copies, self.security)
        try:
            yield from self._send(upload)
        except TrustError:
            if not copies:
                raise
            yield from self.upload(base, ())
            return
        self.report.copied = sum(c.size for c in copies)

    def _send(self, upload: Upload) -> Iterator[Step]:
        total, begin = len(self.data), time.monotonic()
        for done in upload.steps():
            rate = (done - upload.resumed) / max(time.monotonic() - begin, 1e-6)
            yield Step("upload", done, total, rate, (total - done) / rate if rate else 0.0)
        self.report.resumed = upload.resumed

    def put(self, file: str) -> Iterator[Step]:
        """Have it in a file there."""
        upload = FileUpload(self.device.client, self.data, self.device.limit(), file)
        yield Step("check", 0, 1)
        self.report.already = upload.is_whole()
        yield Step("check", 1, 1)
        if not self.report.already:
            yield from self._send(upload)
            if not upload.is_whole():
                raise TrustError(f"{file} holds other bytes", "its SHA-256 differs, or what was read back", "flash once more")

    def mine(self) -> Slot:
        """The slot that holds this file."""
        slots = [s for s in self.device.slots() if self._is_mine(s)]
        if not slots:
            raise TrustError("the device does not hold the file", "no slot has its SHA-256", "flash once more")
        best = next((s for s in slots if s.running), slots[0])
        self.report.slot = best.index
        return best

    def _is_mine(self, slot: Slot) -> bool:
        return slot.sha256 == self.sha256 and self.security in (None, slot.security)

    def _verify(self, slot: int) -> None:
        _, block = self.device.checksums(slot, 0)
        count = len(self.data) // block
        there, _ = self.device.checksums(slot, count)
        here = [zlib.crc32(self.data[i * block : (i + 1) * block]) for i in range(count)]
        if there != here:
            wrong = sum(a != b for a, b in zip(there, here))
            raise TrustError("the device's flash holds other bytes", f"{wrong} of {count} blocks differ", "flash once more")

    def activate(self) -> Iterator[Step]:
        """Run it on trial, test it, confirm it; back to the model before if the test fails."""
        mine = self.mine()
        if mine.running and mine.state == "confirmed":
            return
        yield Step("activate", 0, 1)
        if not mine.running:
            self.device.activate(mine.index)
        yield Step("test", 0, 1)
        try:
            self.report.error = self.device.self_test(self.data, self.name)
        except AccuracyError:
            self._back()
            raise
        self.device.confirm()
        yield Step("test", 1, 1)

    def _back(self) -> None:
        try:
            self.device.back()
        except Refused:  # there was no model before: the one on trial runs until its starts are used up
            return

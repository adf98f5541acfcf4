"""How uploads fare: throughput, a head-only change, power cuts, bad lines: flash.py MODEL.tody [BOARD [SMALL.tody]]"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "firmware")]

from emulate import built, connect, machine
from noise import disturb, tries_until

from tody import format
from tody.flash.device import Device
from tody.flash.flash import Report

CUTS = 50


def upload_wire(device: Device, path: Path, diff: bool) -> tuple[int, int]:
    """Bytes that an upload takes on the wire, from the laptop and to it."""
    sent, received, last = device.line.sent, device.line.received, (0, 0)
    for step in device.flashing(str(path), activate=False, diff=diff):
        if step.stage == "upload":
            last = device.line.sent - sent, device.line.received - received
    return last


def head_only(path: Path, folder: Path) -> tuple[Path, int]:
    """The model with other weights in its last layer, as after retraining that; and the bytes that differ."""
    file = format.read(path.read_bytes())
    weights = bytearray(file.weights)
    last = max((t for t in file.tensors if t.place == "weights" and t.dtype == "int8"), key=lambda t: t.at)
    for i in range(last.at, last.at + last.bytes):
        weights[i] ^= 1
    file.weights = bytes(weights)
    target = folder / "head.tody"
    target.write_bytes(format.write(file))
    return target, last.bytes


def throughput(device: Device, path: Path) -> None:
    size = path.stat().st_size
    sent, received = upload_wire(device, path, diff=False)
    share, most = size / (sent + received), 93 / 127
    print(
        f"upload of {size} bytes: {sent} sent, {received} received; {share:.1%} of a line is payload, base64 allows {most:.1%}"
    )
    print(f"at 115200 baud {11520 * share:.0f} bytes/s, {size / 11520 / share:.1f} s; {share / most:.1%} of the payload rate")


def change(device: Device, path: Path, folder: Path) -> None:
    device.flash(str(path))
    other, differs = head_only(path, folder)
    sent, received = upload_wire(device, other, diff=True)
    size = other.stat().st_size
    print(f"head-only change of {differs} bytes: {sent} sent ({sent / size:.1%} of {size}), {received} received")


def cuts(name: str, path: Path, folder: Path) -> None:
    dice, size, resumed = random.Random(1), path.stat().st_size, []
    for cut in range(CUTS):
        flash, stop = folder / f"{cut}.img", dice.randrange(size)
        with machine(built(name), flash) as address, connect(address) as device:
            for step in device.flashing(str(path), diff=False):
                if step.stage == "upload" and step.done >= stop:
                    break
        with machine(built(name), flash) as address, connect(address) as device:
            report = device.flash(str(path), verify=True)
            assert report.state == "confirmed"
            resumed.append(report.resumed)
        flash.unlink()
    print(f"{CUTS} power cuts: all byte-identical in the end, {sum(r > 0 for r in resumed)} resumed")


def noise(path: Path, folder: Path) -> None:
    """The emulated line has no speed of its own: what one of 115200 baud would need is reckoned from the bytes."""
    for how in ("drop", "repeat", "flip"):
        with machine(built("host"), folder / f"{how}.img") as address, connect(address) as device:
            disturb(device, 5, **{how: 0.01})
            begin = time.monotonic()
            end = tries_until(device, str(path), 3600.0)
            told = f"{end.state}, {end.sent} sent" if isinstance(end, Report) else str(end).splitlines()[0]
            seconds, wire = time.monotonic() - begin, (device.line.sent + device.line.received) / 11520
            print(f"{how} 1 %: {told}, {seconds:.0f} s, {wire:.0f} s of line at 115200 baud", flush=True)


def main() -> None:
    path, name = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "host"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with machine(built(name), folder / "flash.img") as address, connect(address) as device:
            throughput(device, path)
        with machine(built(name), folder / "flash.img") as address, connect(address) as device:
            change(device, path, folder)
        cuts(name, path, folder)
        if len(sys.argv) > 3:
            noise(Path(sys.argv[3]), folder)


if __name__ == "__main__":
    main()

"""Zephyr itself: its SMP server on an emulated Cortex-M3, of those that the source of smpclient brings along.

pip download --no-deps --no-binary smpclient smpclient==7.3.0; TODY_ZEPHYR names the folder tests/fixtures/smp-server in it.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from emulate import connect, free_port, started
from quantised import quantised

import tody
from tody.convert import convert
from tody.errors import DeviceError
from tody.flash.client import Refused

SERVER = "mps2_an385_serial_recovery_buf512"
APPLICATION_AT = 0x20050000
FILE = "/lfs1/model.tody"  # where this Zephyr has mounted LittleFS

pytestmark = [
    pytest.mark.skipif("TODY_ZEPHYR" not in os.environ, reason="TODY_ZEPHYR names no folder with Zephyr's SMP server"),
    pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="qemu-system-arm is not installed"),
]


@pytest.fixture(scope="module")
def kws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "kws.tody"
    convert(quantised("kws_dscnn"), path)
    return path


@pytest.fixture
def zephyr(tmp_path: Path) -> Iterator[tody.Device]:
    (loader,) = Path(os.environ["TODY_ZEPHYR"]).resolve().glob(f"*{SERVER}.hex")
    port = free_port()
    words = ["qemu-system-arm", "-M", "mps2-an385", "-nographic", "-monitor", "none"]
    words += ["-serial", f"tcp:127.0.0.1:{port},server=on,wait=off,nodelay=on", "-serial", "null"]
    words += ["-device", f"loader,file={loader}"]
    words += ["-device", f"loader,file={loader.with_suffix('.signed.bin')},addr={APPLICATION_AT:#x}"]
    with started(words, tmp_path / "none"), connect(f"socket://127.0.0.1:{port}") as device:
        yield device


def test_what_it_is(zephyr: tody.Device, kws: Path) -> None:
    assert not zephyr.runs_tody
    assert [slot.state for slot in zephyr.slots()] == ["confirmed"]  # the firmware that runs
    with pytest.raises(DeviceError, match="does not run tody"):
        zephyr.flash(str(kws))
    with pytest.raises(Refused, match="only firmware for MCUboot"):
        zephyr.flash(str(kws), any_device=True)


def test_a_model_into_its_file_system(zephyr: tody.Device, kws: Path) -> None:
    """Cut off by the laptop somewhere, it goes on there; in the end the device's SHA-256 is that of the model."""
    stop = random.Random(3).randrange(2000, 8000)
    for step in zephyr.flashing(str(kws), file=FILE):
        if step.stage == "upload" and step.done >= stop:
            break
    report = zephyr.flash(str(kws), file=FILE)
    assert report.state == "uploaded" and report.resumed >= stop
    assert zephyr.flash(str(kws), file=FILE).already
    with pytest.raises(Refused, match="no file system is mounted there"):
        zephyr.flash(str(kws), file="/nowhere/model.tody")

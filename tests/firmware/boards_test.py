"""Each board boots in its emulator, takes models over its line, and computes the laptop's bytes, also after a reset."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import chipcut
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("serial")

from emulate import built, connect, machine
from net import Net
from quantised import quantise, quantised
from stack import painted
from zoo import separable, unit

import tody
from sharing import alone
from tody import memory
from tody.convert import convert
from tody.errors import TodyError
from tody.flash.device import Device
from tody.golden import splitmix64

QEMU = ["host", "mps2-an385", "mps2-an386", "mps2-an500", "mps3-an547", "riscv-virt"]
RAM_LIMIT = 4096  # bytes that firmware takes beside arena and scratch of a model
FOLDER = os.environ.get("TODY_MODELS")
REAL = sorted(Path(FOLDER).glob("*_int8.tflite")) if FOLDER else []


def wide() -> Any:
    """A net whose first image is wide: little memory has it made in strips, which take the most stack."""
    net = Net(1)
    x = unit(net, net.input(1, 3, 32, 32), 3, 24, 3)
    x = unit(net, unit(net, x, 24, 24, 3, 2, 24), 24, 16, 1)
    return quantise(net.model(net.op("Softmax", net.dense(net.flat(x), 16, 4), axis=-1)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two int8 models of the zoo, and one in strips; runs of the first overwrite its input."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{name}.tody" for name in ("vww_mbv1_025", "kws_dscnn")]
    for path, limit in zip(paths, ({"io": "int8", "ram": 16 << 10}, {})):
        convert(quantised(path.stem), path, **limit)
    convert(wide(), folder / "wide.tody", io="int8", ram=16 << 10)
    return [*paths, folder / "wide.tody"]


def check_outputs(device: Device, path: Path, inputs: int) -> None:
    """The model that runs there needs what the laptop says, and gives the bytes that the portable kernels give here."""
    pointer_bytes = 8 if device.info.board == "host" else memory.CHIP_POINTER
    need, told = device.need(), memory.need(path.read_bytes(), pointer_bytes)
    assert (need["arena"], need["scratch"]) == (told.arena, told.scratch)
    model = tody.load(path, threads=1, kernels="portable")
    for seed in range(inputs):
        x = {p.name: splitmix64(seed, p.shape, -128, 128, p.dtype) for p in model.inputs}
        there, here = device.run(model, x), model(x)
        for name, value in (here if isinstance(here, dict) else {"": here}).items():
            other = there[name] if isinstance(there, dict) else there
            assert np.asarray(other).tobytes() == np.asarray(value).tobytes()


@pytest.mark.parametrize("name", QEMU)
def test_models_run_from_flash(name: str, small: list[Path], tmp_path: Path) -> None:
    board = built(name)
    with machine(board, tmp_path / "flash.img") as address:
        with connect(address) as device:
            assert (device.info.board, device.info.safe) == (name, False)
            assert device.running() is None
            for path in small:
                report = device.flash(str(path))
                assert report.state == "confirmed"
                assert device.model_name(report.slot or 0) == report.model == tody.load(path).name
                check_outputs(device, path, 2)
            device.back()
            check_outputs(device, small[1], 1)
            device.reset()
        with connect(address) as device:
            check_outputs(device, small[1], 1)


def test_ram_beside_the_models(small: list[Path], tmp_path: Path) -> None:
    """Data and the deepest stack of all that flashing, running and timing do, also in strips."""
    if not shutil.which("arm-none-eabi-size"):
        pytest.skip("arm-none-eabi-size is not installed")
    with painted(built("mps2-an386"), tmp_path) as board:
        for path in [*small[1:], small[1]]:
            board.device.flash(str(path), verify=True)
            check_outputs(board.device, path, 1)
            board.device.profile()
            stack = board.stack_bytes()
            print(f"{path.stem}: {board.data_bytes} bytes of data, {stack} of stack")
            assert stack > 1000 and board.data_bytes + stack <= RAM_LIMIT
        board.device.back()
        assert board.data_bytes + board.stack_bytes() <= RAM_LIMIT


def test_models_outlive_the_machine(small: list[Path], tmp_path: Path) -> None:
    board = built("mps2-an386")
    for start in range(2):
        with machine(board, tmp_path / "flash.img") as address, connect(address) as device:
            if start == 0:
                device.flash(str(small[0]))
            check_outputs(device, small[0], 1)


def test_power_fails_while_flashing(small: list[Path], tmp_path: Path) -> None:
    """The whole firmware: killed at a store of an upload, it runs the model before, and takes the new one in the end."""
    board, flash = built("mps2-an386"), tmp_path / "flash.img"
    with alone(chipcut.BUILD):
        chipcut.build()
    with machine(board, flash) as address, connect(address) as device:
        device.flash(str(small[0]))
    for n in (20, 1500, 3000, 4500):
        with machine(board, flash, *chipcut.plugin(n)) as address, connect(address) as device:
            check_outputs(device, small[0], 1)
            with pytest.raises(TodyError):
                device.flash(str(small[1]))
    with machine(board, flash) as address, connect(address) as device:
        check_outputs(device, small[0], 1)
        assert device.flash(str(small[1])).state == "confirmed"
        check_outputs(device, small[1], 1)


def test_pico(tmp_path: Path) -> None:
    """A smaller model: the emulator runs four million instructions a second, and the chip multiplies floats by many."""
    board, path = built("rp2040"), tmp_path / "tiny.tody"
    convert(quantise(separable(Net(1), 16, [(8, 2), (16, 1)], 4)), path)
    with machine(board, tmp_path / "flash.img") as address, connect(address) as device:
        assert device.info.cpu == "cortex-m0plus"
        device.flash(str(path))
        check_outputs(device, path, 1)
        device.reset()
    with machine(board, tmp_path / "flash.img") as address, connect(address) as device:
        check_outputs(device, path, 1)


@pytest.mark.skipif(not REAL, reason="TODY_MODELS is not set")
@pytest.mark.parametrize("name", QEMU[1:])
def test_real_models(name: str, tmp_path: Path) -> None:
    """The MLPerf Tiny models. TODY_INPUTS: how many inputs."""
    board = built(name)
    with machine(board, tmp_path / "flash.img") as address, connect(address) as device:
        for source in REAL:
            path = tmp_path / f"{source.stem}.tody"
            convert(source, path)
            device.flash(str(path))
            check_outputs(device, path, int(os.environ.get("TODY_INPUTS", "1")))

"""What is linked into firmware: sizes that were promised, functions in the place of a C library, operators left out."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBC = ROOT / "firmware" / "boards" / "common" / "libc"
KEYWORDS = "OPS=conv dwconv pool dense cast softmax"  # what a net for keywords is made of
LIMITS = {"runtime": 24 << 10, "store and link": 12 << 10}  # bytes of flash on a Cortex-M4, with either kernels
GROUPS = {"libtody.a": "runtime", "libgcc.a": "runtime", "/table.o": "runtime", "/o/store/": "store and link"}
GROUPS["/o/link/"] = "store and link"


def make(name: str, *settings: str) -> Path:
    """Build firmware beside that of other tests; its folder."""
    folder = ROOT / "build" / "tests" / f"firmware-{name}"
    command = ["make", "-s", "-j2", "-C", ROOT / "firmware", f"OUT={folder}", *settings]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def host_firmware(*settings: str) -> Path:
    """The program for this machine, in a folder of its own for these settings; without any, that of the other tests."""
    if not settings:
        from emulate import built

        return built("host").build / "tody.elf"
    name = "-".join(re.findall(r"\w+", " ".join(settings)))
    return make(f"host-{name}", "BOARD=host", *settings) / "tody.elf"


def sizes(linker_map: str) -> Counter[str]:
    """Bytes of flash by group, from the linker's map."""
    found: Counter[str] = Counter()
    placed = re.sub(r"\n( \.\S+)\n\s+", r"\n\1 ", linker_map.split("memory map")[1])
    for section, address, size, source in re.findall(r"^ (\.\S+)\s+0x(\w+)\s+0x(\w+)\s+(\S+)$", placed, re.M):
        in_flash = section.startswith((".text", ".rodata", ".vectors")) and int(address, 16)
        found[next((g for part, g in GROUPS.items() if part in source), "else")] += int(size, 16) if in_flash else 0
    return found


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="arm-none-eabi-gcc is not installed")
@pytest.mark.parametrize("kernels", ["", "cortexm"])
def test_sizes(kernels: str) -> None:
    folder = make(f"small-{kernels}", "BOARD=mps2-an386", "FLOAT=0", f"KERNELS={kernels}", KEYWORDS)
    found = sizes((folder / "tody.map").read_text())
    assert sum(found.values()) == pytest.approx((folder / "tody.bin").stat().st_size, rel=0.01)
    print(dict(found))
    for name, limit in LIMITS.items():
        assert 0 < found[name] <= limit


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_libc(tmp_path: Path) -> None:
    renamed = ["-Dsqrtf=chip_sqrtf", "-D__fixsfdi=chip_fix", "-D__floatdisf=chip_float"]
    for name in ("math", "fix"):
        subprocess.run(["gcc", "-O2", *renamed, "-c", LIBC / f"{name}.c", "-o", tmp_path / f"{name}.o"], check=True)
    program = tmp_path / "libc"
    objects = [tmp_path / "math.o", tmp_path / "fix.o"]
    subprocess.run(["gcc", "-O2", ROOT / "tests/firmware/libc.c", *objects, "-lm", "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
@pytest.mark.parametrize("missing", ["FLOAT=0", "OPS=conv dense", ""])
def test_what_is_left_out_is_refused(missing: str, tmp_path: Path) -> None:
    """A model that needs an operator, or arithmetic in float32, that a build has not; nothing is checked on this side."""
    pytest.importorskip("onnx")
    pytest.importorskip("serial")
    from emulate import connect, host
    from net import Net
    from zoo import separable

    from tody.convert import convert
    from tody.errors import TodyError
    from tody.flash.upload import Upload

    data = convert(separable(Net(1), 16, [(8, 2), (16, 1)], 4)).bytes
    elf = host_firmware(*filter(None, [missing]))
    with host(elf, tmp_path / "flash.img") as address, connect(address) as device:
        assert [*Upload(device.client, data, device.limit()).steps()][-1] == len(data)
        if missing:
            with pytest.raises(TodyError):
                device.activate(0)
        else:
            device.activate(0)
        assert (device.running() is None) == bool(missing)


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_int8_runs_without_float32(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("serial")
    from emulate import connect, host
    from net import Net
    from quantised import quantise
    from zoo import separable

    import tody
    from tody.convert import convert
    from tody.golden import splitmix64

    path = tmp_path / "model.tody"
    convert(quantise(separable(Net(1), 16, [(8, 2), (16, 1)], 4)), path)
    model = tody.load(path, threads=1, kernels="portable")
    x = splitmix64(1, model.inputs[0].shape, -128, 128, model.inputs[0].dtype)
    elf = host_firmware("FLOAT=0")
    with host(elf, tmp_path / "flash.img") as address, connect(address) as device:
        device.flash(str(path))
        there = device.run(model, {model.inputs[0].name: x})
    assert there.tobytes() == model(x).tobytes()


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
@pytest.mark.parametrize("op", ["cast", "lut", "binary"])
def test_operators_find_the_kernels_that_they_call(op: str, tmp_path: Path) -> None:
    """In a build of one operator without float32, where kernels are linked only if something asks for them."""
    pytest.importorskip("serial")
    import numpy as np
    import seeds
    from emulate import connect, host

    import tody
    from tody.flash.upload import Upload

    data = seeds.models()[{"cast": "s8_cast", "lut": "lut", "binary": "s8_add"}[op]]
    model = tody.load(data, threads=1, kernels="portable")
    rng = np.random.default_rng(1)
    inputs = {port.name: rng.integers(-128, 128, port.shape, np.int8) for port in model.inputs}
    elf = host_firmware("FLOAT=0", f"OPS={op}")
    with host(elf, tmp_path / "flash.img") as address, connect(address) as device:
        assert [*Upload(device.client, data, device.limit()).steps()][-1] == len(data)
        device.activate(0)
        there = device.run(model, inputs)
    assert np.asarray(there).tobytes() == np.asarray(model(inputs)).tobytes()

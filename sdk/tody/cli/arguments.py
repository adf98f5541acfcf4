"""Types and groups of arguments that several commands share."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..flash.device import Device
    from ..run.model import Model


def size(text: str) -> tuple[int, int]:
    """640x480 as (width, height)."""
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text)
    if not match or not int(match[1]) or not int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x480")
    return int(match[1]), int(match[2])


def file_size(text: str) -> int:
    """2M, 300K or 1500000 as bytes."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?)([kKmMgG]?)(?:i?[bB])?", text)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 2M or 300K")
    return int(float(match[1]) * 1024 ** ["", "k", "m", "g"].index(match[2].lower()))


def size_or_share(text: str) -> float:
    """A size as above, or 23% as the share 0.23."""
    match = re.fullmatch(r"(\d{1,2}(?:\.\d{1,3})?)%", text)
    if match and float(match[1]):
        return float(match[1]) / 100
    try:
        return file_size(text)
    except argparse.ArgumentTypeError as e:
        raise argparse.ArgumentTypeError(f"{e}, or 23%") from None


def milliseconds(text: str) -> float:
    """A time above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in milliseconds")
    return value


def numbers(text: str) -> list[float]:
    """103.5,116.3,123.7 or one number for all channels."""
    try:
        values = [float(v) for v in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not one number or three with commas between")
    return values * 3 if len(values) == 1 else values


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """image=1x3x416x416 as (name, shape). The last = divides, for names that hold one; no name: the only input."""
    name, _, dims = text.rpartition("=")
    try:
        values = tuple(int(d) for d in re.split("[x,]", dims))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=1x3x416x416") from None
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has a dimension below 1")
    return name, values


def bind(text: str) -> tuple[str, Any]:
    """iterations=3, sizes=1,2,3 or table=FILE.npy as (name of an input, array)."""
    import numpy as np

    name, _, value = text.rpartition("=")
    try:
        array = np.load(value, allow_pickle=False) if value.endswith(".npy") else np.array(_scalars(value))
    except (OSError, ValueError) as e:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER, NAME=1,2,3 or NAME=FILE.npy: {e}") from None
    return name, array


def decoder(text: str) -> str | dict[str, Any] | None:
    """A decoder's name, "auto", None for none, or the parameters of one as a JSON object."""
    import json

    if not text.startswith("{"):
        return None if text == "none" else text
    try:
        return dict(json.loads(text))
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {e}") from None


def _scalars(text: str) -> Any:
    """A number, or a list where there is a comma; true and false count as numbers."""
    words = [{"true": "1", "false": "0"}.get(w.lower(), w) for w in text.split(",")]
    values = [float(w) if set(w) & set(".einf") else int(w) for w in words]
    return values if "," in text else values[0]


def _number(text: str) -> float:
    """The number, or NaN, which no comparison lets through."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def address(text: str) -> str:
    """:8080, 127.0.0.1:8080 or http://127.0.0.1:8080 as the latter."""
    match = re.fullmatch(r"(?:http://)?([^/]*:\d{1,5})/?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as :8080 or 127.0.0.1:8080")
    return f"http://{match[1]}"


def threshold(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def share(text: str) -> float:
    """5% or 0.05: above 0, at most 1."""
    value = _number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 5% or 0.05")
    return value


def seconds(text: str) -> float:
    """90s, 15m, 2h or 90 as seconds."""
    value = _number(text.rstrip("smh")) * {"m": 60, "h": 3600}.get(text[-1:], 1)
    if not 0.0 < value <= 30 * 86400 or len(text) - len(text.rstrip("smh")) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 15m or 2h")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def count(text: str) -> int:
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def counts(text: str) -> int | list[int]:
    """One whole number, at least 1, or several with commas between."""
    values = [count(word) for word in text.split(",")]
    return values[0] if len(values) == 1 else values


def add_ram(parser: argparse.ArgumentParser) -> None:
    """How much RAM of a chip a model may take."""
    parser.add_argument(
        "--ram",
        type=file_size,
        metavar="SIZE",
        help="what arena and scratch may take on a chip, such as 64K; exit 5 if they need more",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .tody file, or a name of the cache (tody models)")


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """How to run: threads and kernels."""
    parser.add_argument("--threads", type=count, metavar="N", help="threads (default: as many as there are CPUs, at most 4)")
    parser.add_argument("--kernels", metavar="NAME", help="kernel set, as tody doctor lists them (default: the best here)")
    add_precision(parser)


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "auto"),
        default="float32",
        help="of float32 layers: float16 arithmetic, of ARMv8.2 CPUs, at half the instructions and with errors of some "
        "thousandths; auto: where this CPU has it (default float32)",
    )


def add_on(parser: argparse.ArgumentParser) -> None:
    """On another device than this machine."""
    parser.add_argument(
        "--on", metavar="ADDRESS", help="on this device, where the model was flashed: serial:auto, socket://.., .."
    )


def open_device(args: argparse.Namespace, model: Model) -> Device:
    """The device that --on names, on which this very file runs."""
    import hashlib
    from pathlib import Path

    from .. import format
    from ..flash.device import Device, check_same
    from ..models import find

    device = Device(args.on)
    try:
        check_same(device, model, hashlib.sha256(format.plain(Path(find(args.model)).read_bytes())).digest(), args.model)
    except BaseException:
        device.close()
        raise
    return device


def on_device(model: Model, device: Device) -> str:
    """One line: name, precision, and what computes it there."""
    info = device.info
    return f"{model.name}, {model.precision}, on {info.board}, {info.cpu}, {info.kernels} kernels"


def open_model(args: argparse.Namespace, verify: bool = False) -> Model:
    """The model that the arguments of `add_model` and `add_runtime` name."""
    from ..errors import UsageError
    from ..models import find
    from ..run.model import load

    if getattr(args, "on", None) and getattr(args, "precision", "float32") == "float16":
        raise UsageError("--precision float16 is for this machine", "--on runs the model on a device", "leave one of them out")
    given = {key: value for key in ("threads", "kernels", "precision") if (value := getattr(args, key, None)) is not None}
    return load(find(args.model), verify=verify, **given)

"""Operator cases: a few lines of TOML become a `.tody` file with one operator, its inputs, and what NumPy says about it.

A tensor is a line of words: its dtype, its shape, then what it is:

    f32 2x3x4             normally distributed values; integers and bool: everything in reach
    f32 scalar            rank 0
    f32 2x3 ints          small whole numbers, so that ties and equals happen
    f32 2x3 special       also zeros of both signs, infinities, NaN, subnormal and huge numbers
    f32 2x3 near=1000     around 1000;  scale=10 wider;  positive: absolute values;  unit: between -1 and 1
    s32 3 values=0,2,1    exactly these
    s8 2x3 q=0.5:3        quantised, with scale 0.5 and zero point 3;  q=0.5:0:16: with 16 scales
    s8 2x3 ends           -128 and 127 only
    f32 16 multiplier=0.1 between half of this and one and a half times as much, a constant
    f32 32 multiplier=0.1 slopes   the same, of which the latter half are slopes of a PReLU;  slopes=1e-40: all of them this
    ... const             stored in the file, not an input
    panels 1x16x9x3       float32 weights [G, N, T, K] or a bias [G, N], stored in panels
    s8 1x16x9x3 panels    the same of another dtype
    panels 1x16x9x3 tile=4   for Winograd's convolution, in tiles of 4
    table linear 5 9      index and weight of `resize` from 5 to 9 (two tensors); nearest, linear, cubic, uneven
    table linear 5 9 s8   the same with weights in int32, 11 bits of fraction
    none                  an optional input that is absent
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import oracle_s8
from numpy.typing import NDArray

from tody import format

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Array = NDArray[Any]
DTYPES = {
    "f32": "float32",
    "f16": "float16",
    "s8": "int8",
    "u8": "uint8",
    "s16": "int16",
    "s32": "int32",
    "s64": "int64",
    "bool": "bool",
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 65504.0, 1e10]
GUARD = 64  # bytes in front of, between and behind the tensors; an operator must leave them alone


@dataclass
class Tensor:
    """A tensor of a case. `data` is None for an output."""

    dtype: str
    shape: tuple[int, ...]
    data: Array | None = None
    constant: bool = False
    panels: bool = False
    quant: tuple[float, int, int] | None = None  # scale, zero point, how many equal scales
    tile: int = 0

    @property
    def real(self) -> Array:
        """The values as the oracle sees them: float64, int64 or bool."""
        assert self.data is not None
        if self.quant:
            return (self.data.astype(np.float64) - self.quant[1]) * self.quant[0]
        kind = self.data.dtype.kind
        return self.data.astype({"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}[kind])


@dataclass
class Case:
    """One operator with its inputs. `refuse`: what the runtime must say instead of running it."""

    name: str
    op: str
    inputs: list[Tensor | None]
    outputs: list[Tensor | None] = field(default_factory=list)
    expected: list[Array] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5
    refuse: str = ""
    exact: bool = False  # `expected` holds the stored integers


def _integers(words: dict[str, str], dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    info = np.iinfo(DTYPES[dtype])
    if "ends" in words:
        return rng.choice([info.min, info.max], shape).astype(DTYPES[dtype])
    low, high = (-4, 4) if "ints" in words else (max(info.min, -1000), min(info.max, 1000))
    data = rng.integers(max(low, info.min), high + 1, shape)
    if "special" in words and data.ndim:
        edges = [info.min, info.max, 0, 1, 2 if info.min == 0 else -1]
        data.reshape(-1)[: len(edges) * 5] = (
            np.repeat(edges, 5)[: data.size] if "left" in words else np.tile(edges, 5)[: data.size]
        )
    return data.astype(DTYPES[dtype])


def _values(words: dict[str, str], dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if "values" in words:
        return np.array([float(v) for v in words["values"].split(",")]).astype(DTYPES[dtype]).reshape(shape)
    if not dtype.startswith("f"):
        return _integers(words, dtype, shape, rng)
    data = rng.normal(size=shape) * float(words.get("scale", 1)) + float(words.get("near", 0))
    if "multiplier" in words:
        data = float(words["multiplier"]) * rng.uniform(0.5, 1.5, shape)
    if "slopes" in words:
        data[len(data) // 2 :] = words["slopes"] or rng.uniform(-1, 2, data[len(data) // 2 :].shape)
    if "unit" in words:
        data = rng.uniform(-1, 1, shape)
    if "ints" in words:
        data = np.asarray(rng.integers(-4, 5, shape), np.float64)
    if "positive" in words:
        data = abs(data) + 0.01
    if "special" in words:
        data.reshape(-1)[: len(SPECIAL)] = SPECIAL[: data.size]
    with np.errstate(over="ignore"):
        return np.asarray(data.astype(DTYPES[dtype]))


def _table(mode: str, source: int, target: int, fixed: bool, rng: np.random.Generator) -> list[Tensor | None]:
    """Index and weight, with pixel centres half a pixel inside. `fixed`: weights in int32."""
    at = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(at).astype(int)
    if mode == "nearest":
        index, weight = np.rint(at).astype(int)[:, None], np.ones((target, 1))
    elif mode == "linear":
        index, weight = first[:, None] + [0, 1], np.stack([1 - (at - first), at - first], axis=1)
    elif mode == "cubic":
        index, weight = first[:, None] + [-1, 0, 1, 2], rng.normal(size=(target, 4))
    else:
        index, weight = rng.integers(0, source, (target, 7)), rng.normal(size=(target, 7))
    index = np.clip(index, 0, source - 1)
    stored = np.rint(weight * 2048).astype(np.int32) if fixed else weight.astype(np.float32)
    return [
        Tensor("s32", index.shape, index.astype(np.int32), constant=True),
        Tensor("s32" if fixed else "f32", weight.shape, stored, constant=True),
    ]


def parse(line: str, rng: np.random.Generator) -> list[Tensor | None]:
    """The tensors of one line (see the module)."""
    dtype, *rest = line.split()
    if dtype == "none":
        return [None]
    if dtype == "table":
        return _table(rest[0], int(rest[1]), int(rest[2]), "s8" in rest, rng)
    panels = dtype == "panels" or "panels" in rest
    dtype = "f32" if dtype == "panels" else dtype
    shape = () if rest[0] == "scalar" else tuple(int(n) for n in rest[0].split("x"))
    words = {key: value for key, _, value in (word.partition("=") for word in rest[1:])}
    constant = "const" in words or panels or "multiplier" in words
    values, tile = _values(words, dtype, shape, rng), int(words.get("tile", 0))
    return [Tensor(dtype, shape, values, constant, panels, _quant(words.get("q", "")), tile)]


def _quant(text: str) -> tuple[float, int, int] | None:
    """SCALE:ZERO or SCALE:ZERO:COUNT."""
    scale, _, rest = text.partition(":")
    zero, _, count = rest.partition(":")
    return (float(scale), int(zero), int(count or 1)) if text else None


def round_to(value: Array, out: Tensor) -> Array:
    """What `cast` makes of exact values."""
    if out.quant:
        held = np.clip(np.nan_to_num(np.rint(value / out.quant[0]), nan=0.0), -1e6, 1e6)
        info = np.iinfo(DTYPES[out.dtype])
        return np.clip(held + out.quant[1], info.min, info.max).astype(DTYPES[out.dtype])
    dtype = np.dtype(DTYPES[out.dtype])
    if dtype.kind in "fb":
        with np.errstate(over="ignore"):
            return value.astype(np.float32).astype(dtype) if dtype.kind == "f" else value != 0
    if value.dtype.kind != "f":
        return value.astype(dtype)
    info = np.iinfo(dtype)
    whole = np.nan_to_num(np.trunc(value), nan=0.0, posinf=1e30, neginf=-1e30)
    return np.array([min(max(int(v), info.min), info.max) for v in whole.flat], dtype).reshape(value.shape)


def _output_dtypes(case: Case, count: int) -> list[str]:
    first = case.inputs[1] if case.op == "where" else case.inputs[0]
    assert first is not None
    if case.op == "arg_reduce":
        return ["s32"]
    if case.op == "topk":
        return [first.dtype, "s32"]
    to_bool = case.op == "binary" and oracle_returns_bool(case.params["fn"])
    to_bool = to_bool or (case.op == "unary" and case.params["function"][0] in ("not", "is_nan", "is_inf"))
    return ["bool" if to_bool else first.dtype] * count


def oracle_returns_bool(fn: str) -> bool:
    return fn in ("equal", "less", "less_equal", "and", "or", "xor")


def make(entry: dict[str, Any], family: str) -> Case:
    """A case from its TOML table; the outputs' shapes and values are the oracle's."""
    name = entry.get("name") or " ".join(f"{v}" for v in entry.values())
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = [t for line in entry["inputs"] for t in parse(line, rng)]
    case = Case(name, entry.get("op", family), inputs, params=entry.get("params", {}), tolerance=entry.get("tolerance", 1e-5))
    case.refuse = entry.get("refuse", "")
    if case.refuse:
        case.outputs = [t for line in entry["outputs"] for t in parse(line, rng)]
        return case
    if _is_rescaled(case):
        return _make_s8(case, entry["to"])
    results = oracle.run(case.op, [None if t is None else t.real for t in inputs], case.params)
    dtypes = [entry["to"]] if "to" in entry else _output_dtypes(case, len(results))
    for value, line in zip(results, dtypes):
        dtype, _, quant = line.partition(" q=")
        quantised = _quant(quant)
        first = inputs[0]
        if case.op not in ("cast", "lut") and first is not None and first.quant and not quant:
            quantised = first.quant
        case.outputs.append(Tensor(dtype, value.shape, quant=quantised))
        case.expected.append(value)
    for absent in entry.get("absent", []):
        case.outputs[absent] = None
    return case


def _is_rescaled(case: Case) -> bool:
    """Whether the definition is that of quantised integers: with multipliers, or of integers that are compared or weighed."""
    first = case.inputs[0]
    if first is None or first.dtype not in ("s8", "s16") or case.op not in (*oracle_s8.LAYERS, *oracle_s8.OPERATORS):
        return False
    fixed = case.op == "resize" and case.inputs[2] is not None and case.inputs[2].dtype == "s32"
    return fixed if case.op == "resize" else case.op != "cast" or len(case.inputs) > 1


def _make_s8(case: Case, to: str) -> Case:
    dtype, _, rest = to.partition(" q=")
    quant = _quant(rest)
    assert quant is not None
    inputs = [
        None
        if t is None
        else oracle_s8.Input(t.data if t.dtype == "f32" else t.data.astype(np.int64), t.quant[1] if t.quant else 0)
        for t in case.inputs
    ]
    value = oracle_s8.run(case.op, inputs, {**case.params, "dtype": DTYPES[dtype]}, quant[1])
    case.outputs, case.expected, case.exact = [Tensor(dtype, value.shape, quant=quant)], [value], True
    return case


def load(path: Path) -> list[Case]:
    """All cases of a file; its name is the operator where a case names none. `each` makes one case per value."""
    content = tomllib.loads(path.read_text())
    cases = []
    for entry in [*content.get("cases", []), *content.get("case", [])]:
        for key, value in entry.pop("each", {"": [None]}).items():
            for item in value:
                copy = {**entry, "params": {**entry.get("params", {}), **({key: item} if key else {})}}
                copy["name"] = f"{entry.get('name', '')} {item if key else ''}".strip() or f"{entry['inputs']} {copy['params']}"
                cases.append(make(copy, path.stem))
    return cases


class Builder:
    """Puts a case into a file: guards and activations in the arena, constants in the weights section.

    Guards are inputs that no operator reads, one in front of the activations and one behind each.
    """

    def __init__(self, case: Case) -> None:
        self.file = format.File()
        self.weights = bytearray()
        self.guards: list[int] = []
        self._place(format.Tensor("uint8", (GUARD,), "arena", 0), self.guards)
        inputs = [self._add(t, self.file.inputs) for t in case.inputs]
        outputs = [self._add(t, self.file.outputs) for t in case.outputs]
        self.file.records = [format.Record(case.op, inputs, outputs, case.params)]
        self.file.inputs += self.guards
        self.file.weights = bytes(self.weights)
        self.feeds = [t.data for t in case.inputs if t is not None and not t.constant]

    def _place(self, tensor: format.Tensor, ports: list[int]) -> int:
        """Give a tensor the next bytes of the arena."""
        tensor.at = format.align(self.file.arena_bytes, 16)
        self.file.arena_bytes = tensor.at + tensor.bytes
        self.file.tensors.append(tensor)
        ports.append(len(self.file.tensors) - 1)
        return ports[-1]

    def _store(self, data: bytes) -> int:
        """Where in the weights section the data stands."""
        at = format.align(len(self.weights), format.WEIGHT_ALIGN)
        self.weights += b"\0" * (at - len(self.weights)) + data
        return at

    def _add(self, t: Tensor | None, ports: list[int]) -> int | None:
        """The index of a tensor's record; inputs and outputs of the model are noted in `ports`."""
        if t is None:
            return None
        record = format.Tensor(
            DTYPES[t.dtype], t.shape, "weights" if t.constant else "arena", 0, "panels" if t.panels else "plain"
        )
        record.tile = t.tile
        if t.quant:
            scale, record.zero_point, record.scale_count = t.quant
            record.scales_at = self._store(np.full(record.scale_count, scale, np.float32).tobytes())
        if not t.constant:
            index = self._place(record, ports)
            self._place(format.Tensor("uint8", (GUARD,), "arena", 0), self.guards)
            return index
        assert t.data is not None
        record.at = self._store(format.pack_panels(t.data) if t.panels else t.data.tobytes())
        self.file.tensors.append(record)
        return len(self.file.tensors) - 1

    def bytes(self) -> bytes:
        return format.write(self.file)

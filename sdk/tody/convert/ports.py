"""The inputs of a source model: what it declares about them, what the user says, and what becomes of both."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError, UnsupportedError, UsageError
from .graph import Graph, Value
from .operand import COMPUTE, Array, Operand
from .reading import MAX_FILE

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Port:
    """An input as the source model declares it.

    Attributes:
        shape: an open dimension is a string, its name if it has one; None: not even their number is known.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


def with_shapes_told(error: ModelError, shapes: Mapping[str, Shape]) -> ModelError:
    """Where the user gave a shape, that may be what does not fit."""
    given = " ".join(f"--shape {name}={_spell(shape)}" for name, shape in shapes.items())
    hint = f"another shape than {given}: the model may not take every size; otherwise {error.hint}"
    return ModelError(error.what, error.why, hint) if given else error


def check_names(inputs: list[Port], names: Iterable[str]) -> None:
    """Refuse what is said about an input that does not exist."""
    known = [port.name for port in inputs]
    for name in names:
        if name not in known:
            raise UsageError(f"the model has no input {name!r}", f"its inputs are {', '.join(known)}", "check the name")


def bound(port: Port, value: Array) -> Operand:
    """The operand of an input that has become a constant."""
    data, declared, dtype = np.asarray(value), port.shape, port.dtype
    shape = tuple(n for n in declared or () if isinstance(n, int))
    if declared is not None and len(shape) == len(declared) and data.shape != shape:
        if data.size != math.prod(shape):
            why = f"it has the shape {_spell(shape)}, the value {_spell(data.shape)}"
            raise UsageError(f"the value does not fit input {port.name}", why, "give as many numbers, or a .npy file")
        data = data.reshape(shape)
    if dtype in COMPUTE or dtype in ("uint32", "uint64"):
        data = data.astype(dtype)
    return Operand(data.shape, dtype, data=data)


def shapes_of(inputs: list[Port], given: Mapping[str, Shape], notes: list[str]) -> list[tuple[Port, Shape]]:
    """The shape of every input, from `given`, the model, and 1 for an open batch size."""
    found: list[tuple[Port, Shape]] = []
    missing = []
    for port in inputs:
        declared = port.shape
        shape = given.get(port.name)
        if shape is not None and declared is not None and len(shape) != len(declared):
            why = f"the model declares {len(declared)} dimensions: {_spell(declared)}"
            raise UsageError(f"shape {_spell(shape)} does not fit input {port.name}", why, f"give {len(declared)} numbers")
        if shape is None and declared is not None and declared and not isinstance(declared[0], int):
            notes.append(f"input {port.name}: the batch size {declared[0] or '?'} is taken as 1")
            declared = (1, *declared[1:])
        if shape is None and (declared is None or not all(isinstance(n, int) for n in declared)):
            missing.append((port.name, declared))
            continue
        sizes = tuple(int(n) for n in shape or declared or ())
        if any(n < 1 for n in sizes):
            why = "every dimension must be at least 1"
            raise UsageError(f"input {port.name} has the shape {_spell(sizes)}", why, f"--shape {port.name}={_example(None)}")
        if int(np.prod(sizes, dtype=object)) * 4 > MAX_FILE:
            raise UsageError(
                f"input {port.name} has the shape {_spell(sizes)}", "it takes more than 2 GiB", "give a smaller one"
            )
        found.append((port, sizes))
    if missing:
        names = ", ".join(f"{name} {_spell(shape) if shape else 'has no shape'}" for name, shape in missing)
        hint = " ".join(f"--shape {name}={_example(shape)}" for name, shape in missing)
        raise UsageError("the model leaves the size of an input open", names, hint)
    return found


def _spell(shape: tuple[int | str, ...]) -> str:
    return "x".join(str(n) if n != "" else "?" for n in shape) or "scalar"


def _example(shape: tuple[int | str, ...] | None) -> str:
    if shape is None:
        return "1x3x320x320"
    guess = ["1", "3", "320", "320"] if len(shape) == 4 else ["1"] + ["64"] * (len(shape) - 1)
    return "x".join(str(n) if isinstance(n, int) else g for n, g in zip(shape, guess, strict=True))


def add_input(graph: Graph, port: Port, shape: Shape) -> Operand:
    """Give the graph an input, in the dtype of the source model."""
    dtype = port.dtype
    if dtype not in ("float32", "int32", "bool", "int64", "float16", "int8", "uint8"):
        why = "devices have float32, float16, int64, int32, int8, uint8 and bool at their borders"
        raise UnsupportedError(f"input {port.name} has the dtype {dtype}", why, "export the model with another input dtype")
    if len(shape) > 6:
        raise UnsupportedError(f"input {port.name} has {len(shape)} dimensions", "6 is the limit", "reshape it in the model")
    graph.values[port.name] = Value(port.name, shape, dtype)
    graph.inputs.append(port.name)
    direct = COMPUTE[dtype] == dtype
    return Operand(shape, dtype, port.name if direct else "", raw="" if direct else port.name)

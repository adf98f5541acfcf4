"""A model that is ready to run: call it with arrays, or fill its inputs and read its outputs without a copy."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, overload

import numpy as np

from .. import container
from .._runtime import Runtime
from ..errors import ModelError, UsageError

# What takes long to import and is not needed to run, pathlib and dataclasses among it, would be a good part of the time to load
# a small model, and of its memory.
if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..format import File
    from .profile import Row

    Array = NDArray[Any]
    Inputs = ArrayLike | Sequence[Any] | Mapping[str, Any]
    Outputs = Array | dict[str, Array]

MAX_THREADS = 4  # by default: more seldom pays for models of this size


class Port(NamedTuple):
    """An input or output: its name, shape and dtype, as in the source model.

    Attributes:
        quant: scale and zero point of int8 that stands for real numbers: scale * (q - zero point). None of others.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quant: tuple[float, int] | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} {list(self.shape)}"


PRECISIONS = ("float32", "float16", "auto")


def load(
    source: str | os.PathLike[str] | bytes,
    threads: int | None = None,
    kernels: str | None = None,
    verify: bool = False,
    precision: str = "float32",
) -> Model:
    """Open a `.tody` file.

    Args:
        source: path of the file, or its bytes. A file is mapped, not read: replace it by renaming, never write into it. One
            that is stored coded is decoded into memory of its own.
        threads: 1 to 256; None: as many as this process has CPUs, at most 4.
        kernels: name of the best kernel set to use ("portable", "avx2", "avx512", ..); None: the best that this CPU has.
        verify: also compare the checksums of weights and metadata, which reads the whole file. Decoding compares the
            weights anyway.
        precision: of float32 layers. "float16": their products in float16 arithmetic, of ARMv8.2 and later CPUs, which takes
            half the instructions and changes results by some thousandths (docs/arm.md); tensors stay float32. "auto": float16
            where this CPU has it; `Model.precision` tells. Integers stay what they are.

    Raises:
        UsageError: there is no such file, kernel set, precision, or number of threads, or no float16 arithmetic here.
        ModelError: the file is not a sound model for this version of tody.
    """
    name, stored = ("model", source) if isinstance(source, bytes) else _map(os.fspath(source))
    try:
        _refuse_others(name, bytes(stored[:4]))
        data = container.plain(stored)
        runtime = Runtime(data, _default_threads() if threads is None else threads, kernels, verify, f16=_wants_f16(precision))
        meta, blob = container.read_meta(memoryview(data))
    except ModelError as e:
        if isinstance(source, bytes):
            raise
        raise ModelError(f"{os.fspath(source)}: {e.what}", e.why, e.hint) from e
    if precision == "float16" and not runtime.f16:
        why = f"{runtime.kernels} kernels on this CPU have no float16 arithmetic, which came with ARMv8.2"
        raise UsageError("this machine cannot compute in float16", why, 'precision "auto" takes float32 here')
    return Model(runtime, meta, blob, data, name, len(stored))


def _wants_f16(precision: str) -> bool:
    if precision not in PRECISIONS:
        raise UsageError(f"there is no precision {precision!r}", "there are " + ", ".join(PRECISIONS))
    return precision != "float32"


def _map(path: str) -> tuple[str, mmap.mmap | bytes]:
    """The name of a file without its folder and suffix, and its bytes."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"cannot open {path}", "it is a folder, a device or a pipe", "name the .tody file")
    try:
        with open(path, "rb") as file:
            name = os.path.splitext(os.path.basename(path))[0]
            size = os.fstat(file.fileno()).st_size
            return name, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as e:
        raise UsageError(f"cannot open {path}", e.strerror or str(e), "check the path; tody models lists models to get") from e


def _refuse_others(name: str, magic: bytes) -> None:
    if magic != container.MAGIC:
        hint = f"convert it first: tody convert {name}.onnx -o {name}.tody"
        raise ModelError("this is not a .tody file", "it does not begin with TODY", hint)


def _default_threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, MAX_THREADS)


class Model:
    """A model with its own activations. One thread runs it at a time; `clone` gives another thread its own.

    Attributes:
        name: of the model.
        inputs, outputs: what it takes and gives, in order.
        meta, blob: the metadata of the file (docs/format.md).
        file_bytes: size of the file.
    """

    def __init__(
        self, runtime: Runtime, meta: dict[str, Any], blob: bytes, data: container.Data, name: str, file_bytes: int
    ) -> None:
        self.runtime, self.meta, self.blob, self._data, self.file_bytes = runtime, meta, blob, data, file_bytes
        self.name = str(meta.get("name", name))
        self.inputs = _ports(runtime.inputs, meta.get("inputs"), "input")
        self.outputs = _ports(runtime.outputs, meta.get("outputs"), "output")
        self._in: list[Array] = [np.asarray(t) for t in runtime.inputs]
        self._out: list[Array] = [np.asarray(t) for t in runtime.outputs]
        self._lock = threading.Lock()

    def __call__(self, inputs: Inputs) -> Outputs:
        """Run on arrays and return copies of the outputs.

        Args:
            inputs: one array, a sequence of arrays in the order of `self.inputs`, or a dict by name. Each must have the input's
                shape. A dtype of the same kind is converted (float64 to float32, int64 to int32, any integer to float32);
                integers that do not fit are refused.

        Returns:
            One array, or a dict by name where the model has several outputs.

        Raises:
            UsageError: a wrong name, number, shape or dtype, or another thread is running this model.
        """
        if not self._lock.acquire(blocking=False):
            raise UsageError(
                "this model is running in another thread",
                "a model runs in one thread at a time",
                "give each thread its own model.clone()",
            )
        try:
            self.fill(inputs)
            self.runtime.run()
            if len(self._out) == 1:
                return np.array(self._out[0])
            return {port.name: np.array(array) for port, array in zip(self.outputs, self._out)}
        finally:
            self._lock.release()

    @overload
    def run(self) -> None: ...
    @overload
    def run(self, inputs: Inputs) -> Outputs: ...
    def run(self, inputs: Inputs | None = None) -> Outputs | None:
        """Run on what the inputs hold (see `input`), or, with arrays, the same as calling the model."""
        if inputs is not None:
            return self(inputs)
        self.runtime.run()
        return None

    def input(self, which: int | str = 0) -> Array:
        """The memory of an input, by index or name: write into it, then call `run()`. Undefined after a run: write it whole."""
        return self._in[_find(self.inputs, which, "input")]

    def output(self, which: int | str = 0) -> Array:
        """The memory of an output, by index or name; valid until the next run."""
        return self._out[_find(self.outputs, which, "output")]

    def real_output(self, which: int | str = 0) -> NDArray[np.float32]:
        """An output in float32, of a quantised one the real numbers for which its integers stand; valid until the next run."""
        i = _find(self.outputs, which, "output")
        array, quant = np.ascontiguousarray(self._out[i], np.float32), self.outputs[i].quant
        return array if quant is None else (array - np.float32(quant[1])) * np.float32(quant[0])

    def clone(self) -> Model:
        """A model with its own activations that shares weights and threads, for use in another thread."""
        return Model(self.runtime.clone(), self.meta, self.blob, self._data, self.name, self.file_bytes)

    def profile(self, runs: int = 50) -> list[Row]:
        """Median time of every operator over so many runs, with its multiply-adds. Runs on what the inputs hold."""
        from .profile import profile

        return profile(self.runtime, self.file, runs)

    def self_test(self) -> float:
        """Run the golden inputs of the file; returns the largest error, relative to the largest golden value of its output.

        Raises:
            UsageError: the file has no golden outputs.
            AccuracyError: an output differs from its golden values by more than the file allows, or, where products are in
                float16, than `selftest.FLOAT16_TOLERANCE`.
        """
        from .selftest import self_test

        return self_test(self.clone())

    @cached_property
    def file(self) -> File:
        """Tensors, operators and metadata of the file. Holds a copy of the weights."""
        from ..format import read

        return read(memoryview(self._data))

    @cached_property
    def precision(self) -> str:
        """The widest integers that any operator computes in, int16 or int8, else float16 or float32."""
        made = {self.runtime.op_output(i).dtype for i in range(len(self.runtime.op_names))}
        return next((name for name in ("int16", "int8") if name in made), "float16" if self.runtime.f16 else "float32")

    @property
    def decoded_bytes(self) -> int:
        """Memory that holds the plain file, of a file that is stored coded; 0 of others, which are used where they lie."""
        return len(self._data) if self.file_bytes != len(self._data) else 0

    @property
    def memory_bytes(self) -> int:
        """Activations and working memory, weights that were prepared, and the decoded file if it is stored coded."""
        runtime = self.runtime
        return runtime.arena_bytes + runtime.scratch_bytes + runtime.prepared_bytes + self.decoded_bytes

    def describe(self) -> str:
        """One line: name, precision, size, kernel set, threads, memory."""
        threads = f"{self.runtime.threads} thread" + "s" * (self.runtime.threads > 1)
        coded = f" coded ({_size(self.decoded_bytes)} plain)" if self.decoded_bytes else ""
        size, memory = _size(self.file_bytes) + coded, f"{_size(self.memory_bytes)} memory"
        return ", ".join([self.name, self.precision, size, f"{self.runtime.kernels} kernels", threads, memory])

    def __reduce__(self) -> NoReturn:
        hint = "tody.load(path) in each process, model.clone() in each thread"
        raise UsageError("a model cannot be pickled or copied", "its weights lie in a mapped file", hint)

    def __repr__(self) -> str:
        return f"<Model {self.describe()}>"

    def fill(self, inputs: Inputs) -> None:
        """Write arrays into the memory of the inputs, as a call does, without running."""
        if isinstance(inputs, np.ndarray) and len(self._in) == 1:  # first, and without the looks below: small models are quick
            _put(self._in[0], self.inputs[0], inputs)
        elif isinstance(inputs, Mapping):
            self._fill_by_name(inputs)
        elif len(self._in) == 1:
            _put(self._in[0], self.inputs[0], _only(inputs, self.inputs[0].shape))
        elif isinstance(inputs, np.ndarray) or not isinstance(inputs, Sequence) or len(inputs) != len(self._in):
            given = f"{len(inputs)} given" if isinstance(inputs, Sequence) else "one given"
            raise UsageError(f"the model takes {len(self._in)} inputs, {given}", "; ".join(map(str, self.inputs)))
        else:
            for target, port, value in zip(self._in, self.inputs, inputs):
                _put(target, port, value)

    def _fill_by_name(self, inputs: Mapping[str, Any]) -> None:
        names = [port.name for port in self.inputs]
        if wrong := [*(set(inputs) - set(names)), *(set(names) - set(inputs))]:
            what = "the model has no input" if wrong[0] in inputs else "there is no value for input"
            raise UsageError(f"{what} {wrong[0]!r}", "it takes " + "; ".join(map(str, self.inputs)))
        for target, port in zip(self._in, self.inputs):
            _put(target, port, inputs[port.name])


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _ports(tensors: tuple[Any, ...], described: Any, kind: str) -> tuple[Port, ...]:
    """Names come from the metadata where it has one for each tensor; shape and dtype are those of the tensors."""
    entries = described if isinstance(described, list) else []
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if len(names) != len(tensors) or not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        names = [f"{kind}{i}" for i in range(len(tensors))]
    return tuple(Port(str(name), t.shape, t.dtype, t.quant) for name, t in zip(names, tensors))


def _find(ports: tuple[Port, ...], which: int | str, kind: str) -> int:
    for i, port in enumerate(ports):
        if which in (i, port.name):
            return i
    raise UsageError(f"the model has no {kind} {which!r}", "it has " + "; ".join(map(str, ports)))


def _only(inputs: Any, shape: tuple[int, ...]) -> Any:
    """The value for a model's only input: itself, or what a sequence of one holds."""
    if isinstance(inputs, (list, tuple)) and len(inputs) == 1 and np.shape(inputs) != shape:
        return inputs[0]
    return inputs


def _put(target: Array, port: Port, value: Any) -> None:
    try:
        array = np.asarray(value)
    except ValueError as e:
        raise UsageError(f"input {port.name!r} is not an array", str(e), f"the model takes {port}") from e
    if array.shape != target.shape:
        what = f"input {port.name!r} has shape {list(array.shape)}, the model takes {list(port.shape)}"
        raise UsageError(what, "shapes are fixed when a model is converted", "change the array, or convert again with --shape")
    if array.dtype != target.dtype:
        _check_cast(array, target.dtype, port)
    target[...] = array


def _check_cast(array: Array, dtype: np.dtype[Any], port: Port) -> None:
    hint = f"convert it first: x.astype(numpy.{port.dtype})"
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        what = f"input {port.name!r} has dtype {array.dtype}, the model takes {port.dtype}"
        raise UsageError(what, "that could lose values", hint)
    if dtype.kind in "iu" and array.size:
        info = np.iinfo(dtype)
        if array.min() < info.min or array.max() > info.max:
            what = f"input {port.name!r} has values that do not fit into {port.dtype}"
            raise UsageError(what, f"it holds {info.min} to {info.max}", "scale or clip the values first")

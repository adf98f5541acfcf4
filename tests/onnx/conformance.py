"""Runs one case of the onnx package's own test suite through the compiler and the runtime."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import onnx
from onnx import numpy_helper
from tody._runtime import Runtime
from tody.convert.integers import to_integers
from tody.convert.lower import lower
from tody.convert.onnx import import_onnx
from tody.convert.optimise import optimise
from tody.errors import UnsupportedError, UsageError
from tody.format import write

MAX_ROUNDS = 4  # of binding inputs that must be constant
NOISE = {"test_dft_inverse": 1e-6, "test_dft_inverse_opset19": 1e-6}  # these expect float32 noise where the answer is 0


@dataclass
class Result:
    """What became of a case: "passed", "folded" (passed, but every input had to be constant, so that nothing was left for the
    runtime), "refused" (with the reason) or "wrong" (with the difference)."""

    outcome: str
    reason: str = ""
    bound: list[str] = field(default_factory=list)  # inputs that had to be given as constants


def load_case(case: Any) -> tuple[Any, list[tuple[list[Any], list[Any]]]]:
    """The model of a case and its data sets, (inputs, outputs) each."""
    if case.model is not None:
        return case.model, [([_plain(x) for x in i], [_plain(x) for x in o]) for i, o in case.data_sets]
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in weights]
    sets = []
    for data in sorted(folder.glob("test_data_set_*")):
        expected = [_read(data, "output", i, info) for i, info in enumerate(model.graph.output)]
        sets.append(([_read(data, "input", i, info) for i, info in enumerate(inputs)], expected))
    return model, sets


def _read(folder: Path, kind: str, index: int, info: Any) -> Any:
    path = folder / f"{kind}_{index}.pb"
    if info.type.WhichOneof("value") != "tensor_type" or not path.exists():
        return None
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def _plain(x: Any) -> Any:
    return numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def run_case(case: Any) -> Result:
    """Convert, run on every data set, compare within the case's own tolerance."""
    model, sets = load_case(case)
    result = Result("passed")
    for inputs, expected in sets:
        weights = {tensor.name for tensor in model.graph.initializer}
        names = [info.name for info in model.graph.input if info.name not in weights]
        feeds = dict(zip(names, inputs, strict=False))
        if not all(isinstance(x, np.ndarray | np.generic) for x in (*feeds.values(), *expected)):
            return Result("refused", "border: sequences and optionals exist on no device")
        try:
            graph, result.bound = _import(model, {k: np.asarray(v) for k, v in feeds.items()})
        except (UnsupportedError, UsageError) as e:
            return Result("refused", reason_of(e))
        result.outcome = "passed" if graph.inputs else "folded"
        optimise(graph)
        to_integers(graph)
        runtime = Runtime(write(lower(graph)[0]))
        for name, tensor in zip(graph.inputs, runtime.inputs, strict=True):
            np.asarray(tensor)[...] = feeds[name]
        runtime.run()
        got = [np.asarray(tensor) for tensor in runtime.outputs]
        wrong = _difference([o.name for o in model.graph.output], got, expected, case.rtol, NOISE.get(case.name, case.atol))
        if wrong:
            return Result("wrong", wrong, result.bound)
    return result


def _import(model: Any, feeds: dict[str, Any]) -> tuple[Any, list[str]]:
    """Import with the shapes of the data; what an importer needs constant, or is empty, takes the data's values."""
    bound = [name for name, x in feeds.items() if not x.size]
    for _ in range(MAX_ROUNDS):
        shapes = {name: x.shape for name, x in feeds.items() if name not in bound}
        try:
            return import_onnx(model, shapes, {name: feeds[name] for name in bound}), bound
        except UnsupportedError as e:
            needed = [name for node in e.nodes for name in node["inputs"] if name not in bound]  # type: ignore[attr-defined]
            if not needed:
                raise
            bound = [*bound, *dict.fromkeys(needed)]
    return import_onnx(model, shapes, {name: feeds[name] for name in bound}), bound


def _difference(names: list[str], got: list[Any], expected: list[Any], rtol: float, atol: float) -> str:
    for name, mine, theirs in zip(names, got, expected, strict=True):
        theirs = np.asarray(theirs)
        if theirs.dtype == np.float64:  # given as float32, which a note in the report says
            theirs = theirs.astype(np.float32)
        if mine.dtype != theirs.dtype or mine.shape != theirs.shape:
            return f"{name} is {mine.dtype} {mine.shape}, not {theirs.dtype} {theirs.shape}"
        try:
            np.testing.assert_allclose(mine, theirs, rtol, atol)
        except AssertionError as e:
            return f"{name}: " + " ".join(str(e).split())[:200]
    return ""


def reason_of(error: UnsupportedError | UsageError) -> str:
    """OPERATOR: why, of the first refused node; "border: why" where an input or output itself is refused."""
    nodes = getattr(error, "nodes", [])
    if nodes:
        return f"{nodes[0]['operator']}: {nodes[0]['why']}"
    return "border: " + re.sub(r"\b(input|output) \S+", r"\1", error.what)

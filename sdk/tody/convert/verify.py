"""Compare a converted model with its source on seeded inputs."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..errors import AccuracyError
from .graph import Graph
from .unsaturated import unsaturated

Array = NDArray[Any]

NOISE_FACTOR = 4.0  # a few measurements seldom find the largest
NOISE_FLOOR = 2.0**-24  # absolute: sigmoids near 0 are no more exact than near 1
NEAR, COSINE = 0.99, 0.99  # of a quantised output: elements within a step, and cosine to the source's
NOISE_LIMIT = 0.1  # of the range: a source with more noise than that proves nothing


@dataclass(frozen=True)
class Feed:
    """How to make one input: docs/format.md, `golden.inputs`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float

    def array(self, seed: int, block: int = 1) -> Array:
        """The input for a seed: every element another, or in squares of `block` equal ones."""
        coarse = tuple(-(-n // block) if n > block else n for n in self.shape)
        array = golden.splitmix64(seed, coarse, self.low, self.high, self.dtype)
        for axis, (size, blocks) in enumerate(zip(self.shape, coarse, strict=True)):
            if blocks != size:
                array = np.repeat(array, block, axis).take(range(size), axis)
        return array


@dataclass(frozen=True)
class Difference:
    """How far one output is from the source's.

    Attributes:
        name: of the output.
        largest: absolute difference.
        span: largest less smallest value of the source's output.
        relative: `largest` over `span`; for integers the share of elements that differ.
        noise: how far the source's own output moves by rounding (noise.py); measured only where `relative` is too large.
        near, cosine: of a quantised model, the share of elements within one step, and the cosine of the angle between both.
    """

    name: str
    largest: float
    span: float
    relative: float
    noise: float = 0.0
    near: float | None = None
    cosine: float = 1.0

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Limit:
    """How large a difference may be.

    A quantised model computes in integers what its source computes in float32 between roundings. Both round alike but where a
    value lies halfway between two integers; there they are a step apart, and what follows makes little of it. So a quantised
    output is judged in steps: `NEAR` of its elements within one, and all of them in the same direction (`COSINE`).

    Attributes:
        tolerance: relative to the range of the output.
        forgives_noise: whether rounding noise of the source, times `NOISE_FACTOR` and up to `NOISE_LIMIT` of the range, is
            allowed too, and steps of quantised models.
        forgives_steps: whether only the direction counts, because weights of the source had to be rounded.
    """

    tolerance: float
    forgives_noise: bool = False
    forgives_steps: bool = False

    def allows(self, d: Difference) -> bool:
        """Whether the difference is small enough."""
        return d.relative <= self.tolerance or self.is_steps(d) or (self.is_noise(d) and d.relative <= NOISE_LIMIT)

    def is_steps(self, d: Difference) -> bool:
        """Whether the difference is what rounding halves makes of a quantised output."""
        judged = self.forgives_noise and d.near is not None and d.cosine >= COSINE
        return judged and (self.forgives_steps or (d.near or 0.0) >= NEAR)

    def is_noise(self, d: Difference) -> bool:
        """Whether the difference is no larger than what rounding does, which may be all that the output shows."""
        return self.forgives_noise and d.largest <= NOISE_FACTOR * max(d.noise, NOISE_FLOOR)


def feeds(graph: Graph, preprocess: Mapping[str, Any] | None) -> list[Feed]:
    """Ranges for the inputs: what the preprocessing makes of pixels, where it is known."""
    found = []
    for name in graph.inputs:
        value = graph.values[name]
        low, high = {"int8": (-128.0, 128.0), "uint8": (0.0, 256.0)}.get(value.dtype, (0.0, 2.0))
        if value.dtype in ("float32", "float16"):
            low, high = -2.0, 2.0
            if preprocess and preprocess.get("input", name) == name and "mean" in preprocess:
                pairs = list(zip(preprocess["mean"], preprocess["std"], strict=True))
                low, high = min(-m / s for m, s in pairs), max((255 - m) / s for m, s in pairs)
        found.append(Feed(name, value.shape, value.dtype, float(np.float32(low)), float(np.float32(high))))
    return found


class Reference:
    """Computes what a source model does: by onnxruntime, or by onnx's reference evaluator where that cannot.

    What onnxruntime makes of the model is kept for inputs of the same shapes: to make it takes longer than to run it.
    """

    def __init__(self, model: Any) -> None:
        """`model`: onnx.ModelProto."""
        self._source = self._model = model
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._session: Any = None

    def run(self, arrays: Mapping[str, Array], outputs: list[str]) -> tuple[list[Array], str]:
        """The outputs of these names for all inputs by name, and who computed them.

        Raises:
            AccuracyError: neither can run the model.
        """
        shapes = {name: array.shape for name, array in arrays.items()}
        if self._shapes != shapes:
            self._model, self._shapes, self._session = _with_shapes(self._source, shapes), shapes, None
        refusal: Exception | None = None
        try:
            return self._onnxruntime(arrays, outputs)
        except ImportError:
            pass
        except Exception as e:  # onnxruntime raises classes of its own for what it cannot do
            if "onnxruntime" not in type(e).__module__:
                raise
            refusal = e
        try:
            results, name = _onnx_reference(self._model, arrays, outputs)
        except Exception as e:  # the evaluator raises whatever NumPy or onnx does
            what = "the conversion cannot be checked: the source model does not run"
            raise AccuracyError(what, " ".join(str(refusal or e).split()), "--no-verify converts it unchecked") from e
        return results, f"{name} (onnxruntime cannot run the source)" if refusal else name

    def _onnxruntime(self, arrays: Mapping[str, Array], outputs: list[str]) -> tuple[list[Array], str]:
        import onnxruntime

        if self._session is None:
            self._session = _session(self._model)
        wanted = {info.name for info in self._session.get_inputs()}
        results = self._session.run(outputs, {name: array for name, array in arrays.items() if name in wanted})
        return [np.asarray(r) for r in results], f"onnxruntime {onnxruntime.__version__}"


def _with_shapes(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """The model for inputs of these shapes: itself, or a copy that declares them and nothing that followed from others."""
    declared = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in model.graph.input}
    if all(all(a in (b, 0) for a, b in zip(declared[n], shapes[n], strict=True)) for n in shapes if declared.get(n)):
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for info in copy.graph.output:
        info.type.tensor_type.ClearField("shape")
    for info in copy.graph.input:
        for dim, extent in zip(info.type.tensor_type.shape.dim, shapes.get(info.name, ()), strict=False):
            dim.dim_value = extent
    return copy


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(unsaturated(model).SerializeToString(), options, providers=["CPUExecutionProvider"])


def _onnx_reference(model: Any, arrays: Mapping[str, Array], outputs: list[str]) -> tuple[list[Array], str]:
    from onnx.reference import ReferenceEvaluator

    import onnx

    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(outputs, dict(arrays))
    return [np.asarray(r) for r in results], f"onnx.reference {onnx.__version__}"


def steps(graph: Graph) -> list[float | None] | None:
    """For each output of a quantised graph its step, None where it has none of its own. None for other graphs."""
    if not any(value.quant for value in graph.values.values()):
        return None
    producer, found = graph.producer(), []
    for name in graph.outputs:
        while graph.values[name].quant is None and name in producer and producer[name].op in ("cast", "copy", "reshape", "lut"):
            name = str(producer[name].inputs[0])
        quant = graph.values[name].quant
        found.append(None if quant is None else quant.scale)
    return found


def in_steps(d: Difference, expected: Array, got: Array, step: float | None) -> Difference:
    """The difference of an output of a quantised model, judged in steps.

    Args:
        step: None: the output has none of its own, and 1/255 of its range is taken.
    """
    if expected.shape != got.shape or not np.isfinite(d.largest):
        return d
    a, b = expected.astype(np.float64).reshape(-1), got.astype(np.float64).reshape(-1)
    unit = 1.0 if expected.dtype.kind in "iu" else d.span / 255 if step is None else step
    finite = np.isfinite(a)
    a, b = a[finite], b[finite]
    near = float(np.mean(np.abs(a - b) <= 1.001 * unit)) if a.size else 1.0
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return replace(d, near=near, cosine=float(a @ b) / norms if norms else float(not np.any(a - b)))


def compare(name: str, expected: Array, got: Array) -> Difference:
    """Measure an output against the source's. Where infinities and NaN do not stand in the same places, it is infinite."""
    if expected.shape != got.shape:
        return Difference(name, np.inf, 0.0, np.inf)
    if expected.dtype.kind not in "f" or not expected.size:
        wrong = float(np.mean(expected != got)) if expected.size else 0.0
        return Difference(name, wrong, 0.0, wrong)
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], got[~finite], equal_nan=True):
        return Difference(name, np.inf, 0.0, np.inf)
    wide, mine = expected[finite].astype(np.float64), got[finite].astype(np.float64)
    largest = float(np.max(np.abs(wide - mine), initial=0.0))
    span = float(np.ptp(wide)) if wide.size else 0.0
    scale = span or float(np.max(np.abs(wide), initial=0.0)) or 1.0
    return Difference(name, largest, span, largest / scale)

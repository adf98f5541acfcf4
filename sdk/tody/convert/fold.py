"""Constant folding: a node whose inputs are all known is computed here, in the exact arithmetic of the source model."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .operand import ELEMENTS, Array, Call, Operand, Steps, axes_of, axis_of

MAX_BYTES = 1 << 28  # of one folded result; larger ones are computed on the device
_MAX_PROBE = 1024  # elements of an input whose content shape inference may need
_NO_FOLD = ("If", "Loop", "Scan", "SequenceMap", "Optional", "Dropout", "Multinomial", "Bernoulli")  # fmt: skip
# Their results have at most as many elements as their inputs, although shape inference does not know how many.
_NEVER_GROWS = ("NonZero", "Unique", "Compress", "NonMaxSuppression")


def fold(call: Call, node: Any) -> list[Operand | None] | None:
    """The results of a node whose inputs are all constant, or None if it cannot or should not be computed here.

    Args:
        call: the node with its operands.
        node: the same node as onnx.NodeProto, for the reference evaluator.
    """
    if call.op in _NO_FOLD or call.op.startswith("Random"):
        return None
    arrays = [None if x is None else x.data for x in call.inputs]
    compute = _FAST.get(call.op) if call.domain == "" and _native(call, arrays) else None
    with np.errstate(all="ignore"):
        results = [compute(call, arrays)] if compute else _reference(call, node, arrays)
    if results is None:
        return None
    operands = [None if r is None else _operand(r) for r in results]
    if operands[0] is not None and compute is not None:
        operands[0].steps = _steps(call, arrays, compute)
    return operands


def by_numpy(call: Call) -> Operand | None:
    """The result of a node of ONNX's own whose inputs are all constant, if NumPy alone can compute it."""
    arrays = [None if x is None else x.data for x in call.inputs]
    if call.op not in _FAST or any(a is None and x is not None for a, x in zip(arrays, call.inputs, strict=True)):
        return None
    with np.errstate(all="ignore"):
        return _operand(_FAST[call.op](call, arrays)) if _native(call, arrays) else None


def _operand(array: Array) -> Operand:
    return Operand(array.shape, array.dtype.name if array.dtype.kind not in "OUS" else "string", data=array)


_MOVES = ("Expand", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def _steps(call: Call, arrays: list[Any], compute: Callable[..., Array]) -> Steps | None:
    """How the integers lie behind the result of folding."""
    if call.op == "DequantizeLinear":
        return steps_of(call, arrays)
    steps = call.input(0).steps if call.op in _MOVES else None
    return None if steps is None else steps.map(lambda a: compute(call, [a, *arrays[1:]]))


def _native(call: Call, arrays: list[Any]) -> bool:
    """Does NumPy itself know every dtype?"""
    kinds = [a.dtype for a in arrays if a is not None]
    plain = call.op != "Cast" or call.attrs.get("to") not in (None, 8, *range(14, 30))
    return plain and all(k.isbuiltin == 1 and k.kind in "iufb" for k in kinds)


def _sized(shape: Any, array: Array) -> Array:
    """A view of the shape without its memory: a large constant costs nothing until it is packed."""
    shape = tuple(int(n) for n in shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"the shape {list(shape)} has a negative dimension")
    if int(np.prod(shape, dtype=object)) * array.itemsize > 8 * MAX_BYTES:
        raise ValueError(f"a tensor of shape {list(shape)} takes more than 2 GiB")
    return np.asarray(np.broadcast_to(array, shape))


def _constant(call: Call, _: list[Any]) -> Array:
    for kind, dtype in (("float", np.float32), ("int", np.int64), ("string", object)):
        for name in (f"value_{kind}", f"value_{kind}s"):
            if name in call.attrs:
                return np.asarray(call.attrs[name], dtype)
    if not isinstance(call.attrs.get("value"), np.ndarray):
        raise ValueError("a Constant holds no dense tensor")
    return np.asarray(call.attrs["value"])


def _constant_of_shape(call: Call, a: list[Any]) -> Array:
    return _sized(a[0], np.asarray(call.attrs.get("value", np.float32(0))).reshape(()))


def _expand(_: Call, a: list[Any]) -> Array:
    return _sized(np.broadcast_shapes(a[0].shape, tuple(int(n) for n in a[1])), a[0])


def _range(call: Call, a: list[Any]) -> Array:
    start, limit, step = (v.reshape(()) for v in a)
    count = max(0, int(np.ceil((limit.astype(float) - start) / step.astype(float))))
    if count * 8 > MAX_BYTES:
        raise ValueError(f"a Range of {count} elements is too long")
    return np.asarray((start + np.arange(count).astype(start.dtype) * step).astype(start.dtype))


def _shape(call: Call, a: list[Any]) -> Array:
    return np.asarray(a[0].shape[slice(call.attrs.get("start", 0), call.attrs.get("end"))], np.int64)


def _axes(call: Call) -> list[int] | None:
    return call.ints(1, "axes")


def _unsqueeze(call: Call, a: list[Any]) -> Array:
    axes = _axes(call) or []
    rank = a[0].ndim + len(axes)
    new = axes_of(axes, rank)
    rest = iter(a[0].shape)
    return np.asarray(a[0].reshape([1 if d in new else next(rest) for d in range(rank)]))


def _squeeze(call: Call, a: list[Any]) -> Array:
    axes = _axes(call)
    return np.asarray(np.squeeze(a[0], None if axes is None else tuple(axes)))


def _reshape(call: Call, a: list[Any]) -> Array:
    return np.asarray(a[0].reshape(target_shape(a[0].shape, call.ints(1, "shape") or [], bool(call.attrs.get("allowzero", 0)))))


def target_shape(shape: tuple[int, ...], wanted: list[int], allow_zero: bool = False) -> tuple[int, ...]:
    """What Reshape makes of a shape: 0 copies a dimension, -1 takes what is left."""
    sizes = [n if n or allow_zero else shape[d] for d, n in enumerate(wanted)]
    total, known = int(np.prod(shape, dtype=object)), int(np.prod([n for n in sizes if n != -1], dtype=object))
    if sizes.count(-1) > 1 or any(n < -1 for n in sizes) or (-1 in sizes and (not known or total % known)):
        raise ValueError(f"{list(shape)} cannot be seen as {wanted}")
    sizes = [total // known if n == -1 else n for n in sizes]
    if int(np.prod(sizes, dtype=object)) != total:
        raise ValueError(f"{list(shape)} cannot be seen as {wanted}")
    return tuple(sizes)


def _slice(call: Call, a: list[Any]) -> Array:
    return np.asarray(a[0][tuple(slice(s, e, t) for s, e, t in slices_of(call, a[0].shape, python=True))])


def slices_of(call: Call, shape: tuple[int, ...], python: bool = False) -> list[tuple[int, Any, int]]:
    """(start, count, step) of Slice for every dimension; with `python` (start, stop, step) for a Python slice."""
    starts, ends = call.ints(1, "starts") or [], call.ints(2, "ends") or []
    axes = call.ints(3, "axes") or list(range(len(starts)))
    steps = call.ints(4, "steps") or [1] * len(starts)
    found: list[tuple[int, Any, int]] = [(0, n, 1) for n in shape]
    for start, end, axis, step in zip(starts, ends, axes_of(axes, len(shape)), steps, strict=True):
        first, stop, step = slice(start, end, step).indices(shape[axis])
        count = len(range(first, stop, step))
        found[axis] = (first, (None if stop < 0 else stop) if python else count, step)
    return found


def _gather(call: Call, a: list[Any]) -> Array:
    axis = axis_of(call.attrs.get("axis", 0), a[0].ndim)
    if a[0].nbytes // max(1, a[0].shape[axis]) * max(1, a[1].size) > MAX_BYTES:
        raise ValueError("the result of a Gather of constants is too large")
    return np.asarray(np.take(a[0], a[1].astype(np.int64), axis))


def _cast(call: Call, a: list[Any]) -> Array:
    return np.asarray(a[0].astype(ELEMENTS[call.attrs["to"]]))


def _divide(_: Call, a: list[Any]) -> Array:
    if a[0].dtype.kind not in "iu":
        return np.asarray(a[0] / a[1])
    quotient = np.abs(a[0]) // np.abs(np.where(a[1] == 0, 1, a[1]))
    return np.asarray((np.sign(a[0]) * np.sign(a[1]) * quotient).astype(a[0].dtype))


def spread(p: Array, shape: tuple[int, ...], attrs: dict[str, Any]) -> Array:
    """Scales or zero points of a quantised tensor as they broadcast against it: one number, one per slice, or one per block."""
    if p.size == 1:
        return p.reshape(())
    axis = axis_of(attrs.get("axis", 1), len(shape))
    if attrs.get("block_size", 0):
        return np.asarray(np.repeat(p, attrs["block_size"], axis)[tuple(slice(n) for n in shape)])
    return p.reshape([-1 if d == axis else 1 for d in range(len(shape))])


def _dequantize(call: Call, a: list[Any]) -> Array:
    x, scale = a[0].astype(np.int32), spread(a[1], a[0].shape, call.attrs)
    if len(a) > 2 and a[2] is not None:
        x = x - spread(a[2], x.shape, call.attrs).astype(np.int32)
    return np.asarray(x.astype(scale.dtype) * scale)


def steps_of(call: Call, a: list[Any]) -> Steps | None:
    """The integers of 8 bits that a DequantizeLinear takes, and their scales; None if they are others."""
    if a[0].dtype not in (np.int8, np.uint8) or a[1].dtype != np.float32:
        return None
    scales = np.broadcast_to(spread(a[1], a[0].shape, call.attrs), a[0].shape)
    zero = spread(a[2], a[0].shape, call.attrs).astype(np.int16) if len(a) > 2 and a[2] is not None else np.int16(0)
    sound = bool((scales > 0).all() and np.isfinite(scales).all())
    return Steps(np.asarray(a[0] - zero, np.int16), scales) if sound else None


def dequantized(call: Call) -> Operand:
    """The result of a DequantizeLinear of constants."""
    arrays = [None if x is None else x.data for x in call.inputs]
    y = _operand(_dequantize(call, arrays))
    y.steps = steps_of(call, arrays)
    return y


def _plain(function: Callable[..., Any]) -> Callable[[Call, list[Any]], Array]:
    """For functions that mean the same in NumPy, broadcasting included."""

    def compute(_: Call, a: list[Any]) -> Array:
        _sized(np.broadcast_shapes(*(x.shape for x in a)), np.zeros((), a[0].dtype))
        return np.asarray(function(*a))

    return compute


def _concat(call: Call, a: list[Any]) -> Array:
    return np.concatenate(a, axis_of(call.attrs["axis"], a[0].ndim))


def _transpose(call: Call, a: list[Any]) -> Array:
    return np.asarray(a[0].transpose(call.attrs.get("perm")))


_FAST: dict[str, Callable[[Call, list[Any]], Array]] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantize,
    "Div": _divide,
    "Equal": _plain(np.equal),
    "Exp": _plain(np.exp),
    "Expand": _expand,
    "Gather": _gather,
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Identity": _plain(np.asarray),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "Or": _plain(np.logical_or),
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": lambda call, a: np.asarray(a[0].size, np.int64),
    "Slice": _slice,
    "Sqrt": _plain(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _plain(np.where),
}


def _reference(call: Call, node: Any, arrays: list[Any]) -> list[Array | None] | None:
    """By onnx's reference evaluator, if the result is known to be small. None: left to the device (or refused there)."""
    from onnx.reference import ReferenceEvaluator

    import onnx

    if any(attribute.HasField("ref_attr_name") or attribute.HasField("g") for attribute in node.attribute):
        return None
    feeds = {name: array for name, array in zip(node.input, arrays, strict=False) if name and array is not None}
    try:
        model = _single(onnx, call, node, feeds)
        if not _small(onnx, model, feeds):
            return None
        results = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # the evaluator raises whatever NumPy or onnx does; the importers then say what is wrong
        return None
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    named = iter(results)
    return [np.asarray(next(named)) if name else None for name in node.output]


def _single(onnx: Any, call: Call, node: Any, feeds: dict[str, Array]) -> Any:
    helper, infos = onnx.helper, []
    for name, array in feeds.items():
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "node", infos, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(call.domain, call.opset)], ir_version=10)


def _small(onnx: Any, model: Any, feeds: dict[str, Array]) -> bool:
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for name, array in feeds.items():
        if array.size <= _MAX_PROBE and array.dtype.kind in "iufb":
            probe.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array, order="C"), name))
    inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    largest = max((a.nbytes for a in feeds.values()), default=0)
    for output in inferred.graph.output:
        shape = output.type.tensor_type.shape
        if not output.type.tensor_type.HasField("shape") or not all(d.HasField("dim_value") for d in shape.dim):
            return largest <= 8 * _MAX_PROBE and model.graph.node[0].op_type in _NEVER_GROWS
        if int(np.prod([d.dim_value for d in shape.dim], dtype=object)) * 8 > max(MAX_BYTES, 8 * largest):
            return False
    return True

"""Walks over the operators of a TFLite model: operands for tensors, primitives for operators, casts where it is quantised."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...errors import ModelError, UnsupportedError
from .. import casts, ports
from ..builder import Builder
from ..ending import Step, ends_before
from ..graph import Graph
from ..nodes import CUT, NO_SUPPRESSION
from ..operand import COMPUTE, Array, Operand, Refusal, unsupported
from ..outlet import outlet, settle_names
from .call import TfliteCall, constant_operand, is_quantised, quant_of
from .file import Operator, Tensor, TfliteModel
from .importers import IMPORTERS

_HINTS = {
    "TFLite_Detection_PostProcess": NO_SUPPRESSION,
    "NON_MAX_SUPPRESSION_V4": NO_SUPPRESSION,
    "NON_MAX_SUPPRESSION_V5": NO_SUPPRESSION,
    "IF": "export the branch that is wanted",
    "WHILE": "export the model with its loop written out",
    "VAR_HANDLE": "export the model without variables: make states inputs and outputs",
}


def import_tflite(
    model: TfliteModel, shapes: Mapping[str, tuple[int, ...]] | None = None, constants: Mapping[str, Array] | None = None
) -> Graph:
    """Express a model in our primitive operators, all shapes known. The model keeps its inputs and outputs.

    Arguments, result and errors are those of `import_onnx`. Quantised activations become pairs of casts, quantised weights
    integers behind a cast; uint8 becomes int8. int16 activations are computed in float32.
    """
    shapes, constants = dict(shapes or {}), dict(constants or {})
    graph = Graph()
    inputs = {port_of(model.tensors[i]): i for i in model.inputs}
    ports.check_names(list(inputs), [*shapes, *constants])
    builder = Builder(graph, [model.tensors[i].name for i in (*model.inputs, *model.outputs)])
    walk = _Walk(model, builder)
    open_ones = [port for port in inputs if port.name not in constants]
    for port, shape in ports.shapes_of(open_ones, shapes, graph.notes):
        walk.take_input(inputs[port], port, shape)
    for port, i in inputs.items():
        if port.name in constants:
            walk.bind(i, ports.bound(port, constants[port.name]))
    if model.subgraphs > 1:
        graph.notes.append(f"the file holds {model.subgraphs} graphs; the first one is the model")
    try:
        walk.run()
    except ModelError as e:
        raise ports.with_shapes_told(e, shapes) from e
    walk.finish()
    return graph


def port_of(tensor: Tensor) -> ports.Port:
    """An input as the file declares it."""
    dims = tuple("" if is_open else n for n, is_open in zip(tensor.shape, tensor.is_open, strict=True))
    return ports.Port(tensor.name, tensor.dtype, dims)


class _Walk:
    """One import."""

    def __init__(self, model: TfliteModel, builder: Builder) -> None:
        self._model, self._b = model, builder
        self._scope: dict[int, Operand | None] = {}  # tensor -> its operand; None: the result of an operator that was refused
        self._integers: dict[int, Operand] = {}  # quantised activation -> its int8 operand
        self._refused: list[dict[str, object]] = []

    def take_input(self, index: int, port: ports.Port, shape: tuple[int, ...]) -> None:
        """Make a tensor an input of the graph, in the dtype of the file."""
        tensor, b = self._model.tensors[index], self._b
        b.source, b.hint = "", tensor.name
        x = ports.add_input(b.graph, port, shape)
        try:
            quant = quant_of(tensor)
        except Refusal as e:
            raise UnsupportedError(f"input {tensor.name} cannot be used", e.why, e.hint) from e
        if quant is None:
            self._scope[index] = x
            return
        if tensor.dtype == "int8":
            b.graph.values[tensor.name].quant = quant
            self._integers[index] = Operand(shape, "int8", tensor.name)
        else:
            self._integers[index] = casts.from_uint8(b, x, quant)
        self._scope[index] = b.dequantise(self._integers[index])

    def bind(self, index: int, x: Operand) -> None:
        """Give an input a fixed value, of a quantised one its integers."""
        tensor = self._model.tensors[index]
        fixed = Tensor(tensor.name, x.shape, (False,) * x.rank, tensor.dtype, x.data, tensor.scale, False)
        self._scope[index] = constant_operand(self._b, fixed)

    def run(self) -> None:
        """Import the operators that the outputs depend on."""
        needed, wanted = set(self._model.outputs), []
        for operator in reversed(self._model.operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                wanted.append(operator)
        for operator in reversed(wanted):
            self._operator(operator)

    def _operator(self, operator: Operator) -> None:
        call = self._call(operator)
        b = self._b
        b.source, b.hint = call.name, call.name
        try:
            if operator.is_custom or operator.op not in IMPORTERS:
                raise _unknown(operator)
            lost = any(i >= 0 and self._scope[i] is None for i in operator.inputs)
            made = [None] * len(call.outputs) if lost else IMPORTERS[operator.op](b, call)
            results = [made] if isinstance(made, Operand) else list(made)
            for i, result in zip(operator.outputs, results, strict=True):
                self._scope[i] = None if result is None else self._settled(i, result)
        except Refusal as e:
            self._refuse(call, operator, e)
            self._scope.update((i, self._stand_in(i)) for i in operator.outputs)
        except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as e:
            if isinstance(e, ModelError):
                raise
            why = f"{type(e).__name__}: {e}"
            raise ModelError(f"operator {call.name} ({call.op}) is not sound", why, "export the model again") from e

    def _call(self, operator: Operator) -> TfliteCall:
        tensors = [self._model.tensors[i] if i >= 0 else None for i in operator.inputs]
        results = [self._model.tensors[i] for i in operator.outputs]
        inputs = [None if i < 0 else self._lookup(i) for i in operator.inputs]
        name = results[0].name if results else operator.op
        outputs = [tensor.name for tensor in results]
        integers = [self._integers.get(i) for i in operator.inputs]
        attrs = operator.options
        return TfliteCall(operator.op, "", name, operator.version, inputs, outputs, attrs, tensors, integers, results)

    def _lookup(self, index: int) -> Operand | None:
        tensor = self._model.tensors[index]
        if index not in self._scope:
            if tensor.is_variable:  # states, which every run begins with zeros
                self._scope[index] = self._b.constant(np.zeros(tensor.shape, np.float32))
            elif tensor.data is None:
                why = f"no operator before it makes tensor {tensor.name}"
                raise ModelError(
                    "the model's operators are not in an order in which they can run", why, "export the model again"
                )
            else:
                self._scope[index] = constant_operand(self._b, tensor)
        return self._scope[index]

    def _settled(self, index: int, x: Operand) -> Operand:
        """A result in the dtype of its tensor, with casts behind it where that is quantised."""
        tensor, b = self._model.tensors[index], self._b
        if not is_quantised(tensor):
            return b.cast(x, tensor.dtype) if x.dtype != tensor.dtype else x
        quant = quant_of(tensor)
        if quant is None:
            b.graph.notes.append(f"{tensor.name} is {tensor.dtype} in the source and float32 here")
            return x
        self._integers[index] = b.quantise(x, quant)
        return b.dequantise(self._integers[index])

    def _ends(self) -> list[str]:
        """Where the model could end instead, without the operators that were refused."""
        model = self._model
        names = [tensor.name for tensor in model.tensors]
        takes = ([names[i] for i in o.inputs if i >= 0] for o in model.operators)
        makes = ([names[i] for i in o.outputs] for o in model.operators)
        steps = [Step(b[0] if b else "", a, b) for a, b in zip(takes, makes, strict=True)]
        refused = [str(row["name"]) for row in self._refused]
        return ends_before(steps, [names[i] for i in model.inputs], [names[i] for i in model.outputs], refused)

    def _refuse(self, call: TfliteCall, operator: Operator, refusal: Refusal) -> None:
        row = {"name": call.name, "operator": operator.op or "CUSTOM", "domain": "custom" if operator.is_custom else "tflite"}
        self._refused.append({**row, "opset": operator.version, "why": refusal.why, "hint": refusal.hint, "inputs": []})

    def _stand_in(self, index: int) -> Operand | None:
        """What the file says about a refused result, so that what follows can be looked at too."""
        tensor = self._model.tensors[index]
        dtype = "float32" if is_quantised(tensor) else tensor.dtype
        if dtype not in COMPUTE or 0 in tensor.shape:
            return None
        try:
            return self._b.emit("refused", [], tensor.shape, dtype)
        except Refusal:
            return None

    def finish(self) -> None:
        """Give the graph its outputs, under the names and in the dtypes of the file.

        Raises:
            UnsupportedError: operators were refused, or an output has a dtype that no device has.
        """
        if self._refused:
            raise unsupported(self._refused, self._ends())
        names = [self._model.tensors[i].name for i in self._model.outputs]
        for i, name in zip(self._model.outputs, names, strict=True):
            outlet(self._b, self._border(i), name)
        settle_names(self._b.graph, names)

    def _border(self, index: int) -> Operand:
        """The operand of an output, as integers where the file has those."""
        tensor, real = self._model.tensors[index], self._lookup(index)
        assert real is not None
        if not is_quantised(tensor) or index in self._model.real:
            return real
        if index not in self._integers:
            data = tensor.data if tensor.data is not None else real.data
            return Operand(real.shape, tensor.dtype, real.name, data)
        q = self._integers[index]
        return q if tensor.dtype == "int8" else casts.to_uint8(self._b, q)


def _unknown(operator: Operator) -> Refusal:
    if operator.is_custom:
        hint = _HINTS.get(operator.op, "export the model with TFLite's own operators")
        return Refusal("it is a custom operator", hint)
    return Refusal("tody has no such operator", _HINTS.get(operator.op, f"replace it in the source model, or {CUT}"))

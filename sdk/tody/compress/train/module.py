"""A graph as a torch module: its weights are parameters, its casts fake quantisation, its operators those of the runtime."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from ...convert.graph import Graph, Node, Quant, Value
from ...convert.rewrite import first_input, first_output
from ...errors import UnsupportedError, UsageError
from .fake import Quantiser, round_bias
from .operators import OPERATORS, Inputs, Site

Array = NDArray[Any]
Outputs: TypeAlias = Any  # a Tensor, or a dict of them by name

LINEAR = ("conv", "dwconv", "deconv", "dense")


class Executor(torch.nn.Module):  # type: ignore[misc]
    """Computes what a graph computes, in float32 and differentiably.

    Weights, biases, scales and shifts of norms and the slopes of PReLU are parameters; other constants are buffers. Slopes that
    are all equal are a leaky ReLU's, which stays as it is. A value of the graph that is int8 with a `Quant` is here the float32
    numbers that its integers stand for: casts to it are fake quantisation, casts from it do nothing. Values of equal
    quantisation share their learned scale.

    Args:
        graph: of primitive operators, before `to_integers`. It is not changed until `write_back`.
        latent: float32 weights by the name of the int8 constant that was made from them; what the integers stand for otherwise.
        bits: of weights, 2 to 8.

    Raises:
        UnsupportedError: operators that cannot be trained, all listed in `nodes`.
    """

    def __init__(self, graph: Graph, latent: Mapping[str, Array] | None = None, bits: int = 8) -> None:
        super().__init__()
        _refuse(graph)
        self.graph = graph
        self._sites = [(Site(graph, node), OPERATORS.get(node.op)) for node in graph.nodes]
        self._makers = graph.producer()
        self._keys: dict[str, str] = {}  # constant -> attribute that holds it
        self._masks: dict[str, str] = {}  # the same for masks
        self._shared: dict[Quant, str] = {}
        self.quantisers = torch.nn.ModuleDict()
        trained = {name for node in graph.nodes for name in _trained(node)}
        for value in graph.values.values():
            if value.constant:
                self._hold(value, value.name in trained, (latent or {}).get(value.name), bits)
            elif value.quant is not None and value.quant not in self._shared:
                self._shared[value.quant] = key = f"activation{len(self._shared)}"
                self.quantisers[key] = Quantiser(value.quant)
        self._last = _last_uses(graph)

    def _hold(self, value: Value, trained: bool, latent: Array | None, bits: int) -> None:
        """Make a constant a parameter or a buffer, with the dimension of the batch in front."""
        key = self._keys[value.name] = f"c{len(self._keys)}_" + re.sub(r"\W", "_", value.name)
        data: Array = np.asarray(value.data)
        if value.quant is not None:
            shape = channel_shape(value)
            data = (latent if latent is not None else data * np.array(value.quant.scales, np.float32).reshape(shape)).copy()
            self.quantisers[key] = Quantiser(value.quant, (1, *shape), (1 << (bits - 1)) - 1, symmetric=True)
        tensor = torch.from_numpy(np.array(data, order="C"))[None]
        if (trained or value.quant is not None) and tensor.dtype == torch.float32:
            self.register_parameter(key, Parameter(tensor))
        else:
            self.register_buffer(key, tensor)

    def constant(self, name: str) -> Tensor:
        """The parameter or buffer of a constant, with the dimension of the batch (extent 1) in front."""
        tensor: Tensor = getattr(self, self._keys[name])
        return tensor * getattr(self, self._masks[name]) if name in self._masks else tensor

    def mask(self, masks: Mapping[str, Array]) -> None:
        """Hold weights at zero where the mask of their constant is false."""
        for name, mask in masks.items():
            self._masks[name] = f"mask_{self._keys[name]}"
            self.register_buffer(self._masks[name], torch.from_numpy(mask.astype(np.float32))[None])

    def weights(self) -> dict[str, Tensor]:
        """The weights of linear operators by the name of their constant."""
        names = {self._source(node.inputs[1]) for node in self.graph.nodes if node.op in LINEAR}
        return {name: getattr(self, self._keys[name]) for name in sorted(n for n in names if n in self._keys)}

    def _source(self, name: str | None) -> str:
        """The constant behind a weight, which may be quantised."""
        maker = self._makers.get(name or "")
        return first_input(maker) if maker is not None and maker.op == "cast" else name or ""

    def forward(self, *inputs: Tensor) -> Outputs:
        """The outputs for a batch: one tensor, or a dict by name where there are several.

        Args:
            inputs: in the order of the graph; samples along the first axis, instead of the 1 that the model has there.
        """
        found, _ = self.watch(inputs)
        return found

    def watch(self, inputs: Iterable[Tensor], names: Iterable[str] = ()) -> tuple[Outputs, dict[str, Tensor]]:
        """The outputs, and the values of these names (`layers` lists them), as [batch, ..]."""
        names = set(names)
        if unknown := sorted(names - self.graph.values.keys()):
            raise UsageError(
                f"the model has no layer {unknown[0]!r}", "its outputs were asked for", "Executor.layers lists them"
            )
        known: dict[str, Tensor] = {}
        given = list(inputs)
        if len(given) != len(self.graph.inputs):
            raise UsageError(
                f"the model takes {len(self.graph.inputs)} inputs, {len(given)} given",
                f"they are {', '.join(self.graph.inputs)}",
                "a tensor for each, in this order",
            )
        for name, x in zip(self.graph.inputs, given, strict=True):
            known[name] = self._enter(self.graph.values[name], x)
        kept = {*names, *self.graph.outputs}
        for i, (site, function) in enumerate(self._sites):
            self._step(site, function, known)
            for name in self._last[i]:
                if name not in kept:
                    known.pop(name, None)
        outputs = {name: self._leave(name, known) for name in self.graph.outputs}
        seen = {name: self._leave(name, known) for name in names}
        return (next(iter(outputs.values())) if len(outputs) == 1 else outputs), seen

    def _step(self, site: Site, function: Callable[..., Any] | None, known: dict[str, Tensor]) -> None:
        node = site.node
        arrays = [None if name is None else self._value(name, known) for name in node.inputs]
        if node.op == "cast" and (quantised := self._cast(node, arrays)) is not None:
            known[first_output(node)] = quantised
            return
        assert function is not None
        if node.op in LINEAR and len(arrays) > 2 and arrays[2] is not None:
            arrays[2] = self._rounded_bias(node, arrays[2])
        made = function(site, arrays)
        for name, y in zip(node.outputs, made if isinstance(made, list) else [made], strict=False):
            if name is not None:
                known[name] = y

    def _value(self, name: str, known: dict[str, Tensor]) -> Tensor:
        return known[name] if name in known else self.constant(name)

    def _cast(self, node: Node, arrays: Inputs) -> Tensor | None:
        """What a cast to or from a quantised value makes; None for any other cast."""
        x, taken, made = arrays[0], self.graph.values[first_input(node)], self.graph.values[first_output(node)]
        assert x is not None
        if taken.constant and taken.quant is not None:
            x = self.quantisers[self._keys[taken.name]](x)
        if made.quant is not None:
            return self.quantisers[self._shared[made.quant]](x) if made.quant != taken.quant else x
        return x if taken.quant is not None else None

    def _rounded_bias(self, node: Node, bias: Tensor) -> Tensor:
        """The bias as the integers will have it, where both input and weights of the layer are quantised."""
        casts = [self._makers.get(node.inputs[i] or "") for i in (0, 1)]
        if any(cast is None or cast.op != "cast" for cast in casts):
            return bias
        x, w = (self.graph.values[first_input(cast)] for cast in casts if cast is not None)
        if x.quant is None or w.quant is None or not w.constant:
            return bias
        per_channel = self.quantisers[self._keys[w.name]].scale.detach()
        steps = self.quantisers[self._shared[x.quant]].scale.detach() * per_channel
        return round_bias(bias, steps.reshape(-1).expand(bias.numel()).reshape(bias.shape))

    def _enter(self, value: Value, x: Tensor) -> Tensor:
        single = value.shape[:1] == (1,)
        wanted = value.shape[1:] if single else value.shape
        if tuple(x.shape[1:]) != wanted:
            what = f"input {value.name} has shape {list(x.shape)}"
            raise UsageError(what, f"a batch of it has shape {['batch', *wanted]}", "stack samples along the first axis")
        x = x[:, None] if single else x
        if value.quant is None:
            return x
        return value.quant.scales[0] * (x.float() - value.quant.zero_point)

    def _leave(self, name: str, known: dict[str, Tensor]) -> Tensor:
        y = self._value(name, known)
        return y.flatten(0, 1) if self.graph.values[name].shape[:1] == (1,) else y

    @property
    def layers(self) -> list[str]:
        """Names of the values that linear operators make, in order: what losses between layers can watch."""
        return [first_output(node) for node in self.graph.nodes if node.op in LINEAR]

    def write_back(self) -> Graph:
        """A copy of the graph that holds the parameters as they are now: int8 weights are the very integers of training."""
        graph = self.graph.copy()
        for value in graph.values.values():
            if value.constant:
                tensor = self.constant(value.name).detach()
                if value.quant is not None:
                    quantiser = self.quantisers[self._keys[value.name]]
                    value.data, value.quant = quantiser.integers(tensor)[0].cpu().numpy(), quantiser.quant()
                elif isinstance(getattr(self, self._keys[value.name]), Parameter):
                    value.data = tensor[0].cpu().numpy().copy()
            elif value.quant is not None:
                value.quant = self.quantisers[self._shared[value.quant]].quant()
        return graph


def channel_shape(value: Value) -> tuple[int, ...]:
    """The shape in which the scales of a weight broadcast: [G,N,1,1], [1,C], or ones where there is one scale."""
    assert value.quant is not None
    if len(value.quant.scales) == 1:
        return (1,) * len(value.shape)
    return (*value.shape[:2], 1, 1) if len(value.shape) == 4 else (1, value.shape[-1])


def _trained(node: Node) -> list[str | None]:
    """The inputs of a node that training may change, if they are constants."""
    prelu = node.op == "binary" and node.attrs["fn"] == "prelu"
    return node.inputs[1:3] if prelu or node.op in (*LINEAR, "layer_norm", "instance_norm") else []


def _refuse(graph: Graph) -> None:
    """Name every operator that cannot be trained, at once."""
    bad = [node for node in graph.nodes if node.op not in OPERATORS]
    if bad:
        nodes: list[dict[str, object]] = [
            {"name": n.source or first_output(n), "operator": n.op, "why": "it has no gradient here", "hint": ""} for n in bad
        ]
        listed = ", ".join(sorted({n.op for n in bad}))
        what = f"the model cannot be trained: {len(bad)} operators have no gradient"
        raise UnsupportedError(what, f"they are {listed}", "compress it without training: tody compress", nodes)


def _last_uses(graph: Graph) -> list[list[str]]:
    """For each node, the values that no later node takes."""
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs if name is not None}
    found: list[list[str]] = [[] for _ in graph.nodes]
    for name, i in last.items():
        if not graph.values[name].constant:
            found[i].append(name)
    return found

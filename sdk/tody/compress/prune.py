"""Structured pruning: whole channels leave a graph, and what is left takes over their work.

Which channels can leave together says `convert/ties.py`. How much each is missed is the error at the layers that take it, as
their own weights measure it, when the channels that are left stand in for it by least squares, times what such an error does
to the model's outputs; what is missed least per multiply-add saved goes first. No training is needed, though it helps:
`tody.train`.

Sources: B. Hassibi and D. Stork, "Second order derivatives for network pruning: optimal brain surgeon", 1993 (what a removal
costs if the rest makes good for it); Y. He et al., "Channel pruning for accelerating very deep neural networks", 2017 (least
squares instead of training).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..convert.graph import Graph
from ..convert.removal import NotAViewError, remove
from ..convert.rewrite import first_output
from ..convert.ties import MAKERS, Channels, Ints
from ..errors import UsageError
from .families import Family, families_of, sensitivity
from .observe import Sample
from .statistics import inlets
from .work import Work

MOST = 0.9  # of the work that can be asked to go


@dataclass
class Pruning:
    """What pruning did.

    Attributes:
        count: what was counted: "macs" or "parameters".
        before, after: how many there were and are.
        layers: name of each layer -> output channels before and after, where they changed.
        kept: name of each layer whose channels all had to stay -> why.
        sensitivity: the last of the layers that make the same channels -> error of the model's outputs, as a share of their
            power, if some of these channels (`families.TRIED`) and no others left; empty without samples.
    """

    count: str
    before: int
    after: int
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    sensitivity: dict[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """How much of the count went, 0 to 1."""
        return 1 - self.after / self.before


def prune(
    graph: Graph, fraction: float, samples: Sequence[Sample] = (), *, count: str = "macs", reconstruct: bool = True
) -> Pruning:
    """Remove channels from a float32 graph until a fraction of its work is gone. The graph is changed in place.

    Args:
        graph: optimised, not quantised.
        fraction: of the multiply-adds, or of the parameters, of convolutions and dense layers; 0 to 0.9.
        samples: inputs of the graph by name, to see which channels the others can stand in for; without any, only the weights
            are looked at.
        count: "macs" or "parameters": what `fraction` is of.
        reconstruct: let the channels that are left take over the work of those that go, by least squares over the samples.

    Raises:
        UsageError: fraction or count is out of bounds, or so much cannot be removed.
    """
    if not 0 <= fraction <= MOST or count not in ("macs", "parameters"):
        raise UsageError(f"cannot prune {fraction} of the {count}", f"0 to {MOST} of macs or parameters can go")
    channels = Channels(graph)
    found = inlets(channels, samples)
    names = _makers(graph)
    widths = {name: graph.values[name].shape[-1] for name in names}
    while True:
        work = Work(channels, count)
        found = [replace(inlet, of=channels.roots(inlet.of)) for inlet in found]
        families = families_of(channels, found)
        if len(samples):
            sensitivity(channels, families, found if reconstruct else [], samples)
        gone = choose(families, work, fraction)
        try:
            smaller = remove(channels, gone, found if reconstruct else [])
            break
        except NotAViewError as e:
            channels.hold(e.name, f"what is left of it would lie too irregularly for copy {e.name}")
    report = Pruning(count, Work(channels, count).total(), work.total())
    report.sensitivity = {family.makers[-1]: family.noise for family in families if family.noise is not None}
    for name in names:
        left = smaller.values[name].shape[-1]
        if left != widths[name]:
            report.layers[name] = (widths[name], left)
        elif (why := channels.why_held(name)) is not None:
            report.kept[name] = why
    graph.nodes, graph.values = smaller.nodes, smaller.values
    return report


def _makers(graph: Graph) -> list[str]:
    return [first_output(node) for node in graph.nodes if node.op in MAKERS]


def choose(families: Sequence[Family], work: Work, fraction: float) -> Ints:
    """The channels that leave so that a fraction of the work goes.

    Raises:
        UsageError: so much cannot leave.
    """
    start = left = float(work.total())
    gone: list[int] = []
    while start - left < fraction * start:
        best, rate, block = None, np.inf, []
        for family in families:
            some = family.next()
            saved = work.saved(some) if some else 0.0
            if saved > 0 and family.costs(some) / saved < rate:
                best, rate, block = family, family.costs(some) / saved, some
        if best is None:
            most = (start - left) / start
            hint = "give a smaller fraction" if most >= 0.005 else "leave it out: this model has no channels that can go"
            raise UsageError(f"{fraction:.0%} of the work cannot be pruned", f"at most {most:.0%} can go", hint)
        left -= work.saved(block)
        work.take(block)
        gone += block
        best.left += len(block)
    return np.array(gone, np.int64)

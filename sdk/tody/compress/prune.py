"""Structured pruning: whole channels leave a graph, and what is left takes over their work.

Which channels can leave together says `channels.py`. How much each is missed is the error at the layers that take it, as their
own weights measure it, when the channels that are left stand in for it by least squares; what the fewest miss per multiply-add
saved goes first. No training is needed, though it helps: `tody.train`.

Sources: B. Hassibi and D. Stork, "Second order derivatives for network pruning: optimal brain surgeon", 1993 (what a removal
costs if the rest makes good for it); Y. He et al., "Channel pruning for accelerating very deep neural networks", 2017 (least
squares instead of training).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..convert.graph import Graph
from ..convert.rewrite import first_output
from ..errors import UsageError
from .channels import HELD, MAKERS, Channels, Ints
from .observe import Sample
from .removal import NotAViewError, remove
from .statistics import Inlet, inlets
from .work import Work

Floats = NDArray[np.float64]

MOST = 0.9  # of the work that can be asked to go
STEP = 4  # channels that leave at once: int8 products take four together
WIDE = 16  # layers of fewer channels lose them one by one
LEAST = 0.1  # of the channels of a layer that always stay


@dataclass
class Pruning:
    """What pruning did.

    Attributes:
        count: what was counted: "macs" or "parameters".
        before, after: how many there were and are.
        layers: name of each layer -> output channels before and after, where they changed.
        kept: name of each layer whose channels all had to stay -> why.
    """

    count: str
    before: int
    after: int
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

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
        gone = choose(channels, work, found, fraction)
        try:
            smaller = remove(channels, gone, found if reconstruct else [])
            break
        except NotAViewError as e:
            channels.hold(e.name, f"what is left of it would lie too irregularly for copy {e.name}")
    report = Pruning(count, Work(channels, count).total(), work.total())
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


@dataclass
class _Family:
    """Channels that the same layers make, in the order in which they should leave, with what each is missed."""

    order: list[int]
    missed: Floats
    step: int
    least: int


def choose(channels: Channels, work: Work, found: Sequence[Inlet], fraction: float) -> Ints:
    """The channels that leave so that a fraction of the work goes.

    Raises:
        UsageError: so much cannot leave.
    """
    families = _families(channels, found)
    start = left = float(work.total())
    gone: list[int] = []
    while start - left < fraction * start:
        best, rate, block = None, np.inf, []
        for family in families:
            some = family.order[: family.step]
            saved = work.saved(some) if len(family.order) - len(some) >= family.least else 0.0
            if saved > 0 and family.missed[: len(some)].sum() / saved < rate:
                best, rate, block = family, family.missed[: len(some)].sum() / saved, some
        if best is None:
            most = (start - left) / start
            raise UsageError(
                f"{fraction:.0%} of the work cannot be pruned", f"at most {most:.0%} can go", "give a smaller fraction"
            )
        left -= work.saved(block)
        work.take(block)
        gone += block
        best.order, best.missed = best.order[len(block) :], best.missed[len(block) :]
    return np.array(gone, np.int64)


def _families(channels: Channels, found: Sequence[Inlet]) -> list[_Family]:
    """Channels by the layers that make them."""
    made: dict[int, list[str]] = {}
    for node in channels.graph.nodes:
        of = channels.last(first_output(node)) if node.op in MAKERS else None
        for channel in [] if of is None else np.unique(of[of != HELD]).tolist():
            made.setdefault(channel, []).append(first_output(node))
    families: dict[tuple[str, ...], list[int]] = {}
    for channel, by in made.items():
        families.setdefault(tuple(by), []).append(channel)
    result = []
    for makers, members in families.items():
        order, missed = _order(members, found)
        width = max(channels.graph.values[name].shape[-1] for name in makers)
        each = max(1, width // len(members))
        step = max(1, STEP // each) if width >= WIDE else 1
        result.append(_Family(order, missed, step, max(1, int(LEAST * len(members)))))
    return result


def _order(members: list[int], found: Sequence[Inlet]) -> tuple[list[int], Floats]:
    """The order in which channels should leave, each the one that is missed least once the others have left."""
    takers = [inlet.elimination() for inlet in found if np.isin(inlet.of, members).any()]
    left, order, missed = np.array(members), [], []
    while len(left):
        costs = sum((taker.costs(left) for taker in takers), np.zeros(len(left)))
        i = int(costs.argmin())
        order.append(int(left[i]))
        missed.append(float(costs[i]))
        for taker in takers:
            taker.drop(int(left[i]))
        left = np.delete(left, i)
    return order, np.array(missed)

"""Channels that the same layers make: the order in which they leave, and what each is missed."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert.removal import NotAViewError, remove
from ..convert.rewrite import first_output
from ..convert.ties import HELD, MAKERS, Channels, Ints
from .observe import Probe, Sample
from .statistics import Inlet

Floats = NDArray[np.float64]
Outputs = Mapping[str, NDArray[Any]]

STEP = 4  # channels that leave at once: int8 products take four together
WIDE = 16  # layers of fewer channels lose them one by one
LEAST = 0.1  # of the channels of a layer that always stay
TRIED = 0.2  # of the channels of a family that leave to see what that does to the outputs
LOOKED_AT = 4  # samples for that


@dataclass
class Family:
    """Channels that the same layers make.

    Attributes:
        makers: first outputs of these layers.
        order: the channels, as they should leave.
        missed: what each is missed when it does.
        step: how many leave at once.
        most: how many may leave.
        left: how many have left.
        noise: what `sensitivity` has measured.
    """

    makers: tuple[str, ...]
    order: Ints
    missed: Floats
    step: int
    most: int
    left: int = 0
    noise: float | None = None

    def next(self) -> list[int]:
        """The channels that would leave next; none if no more may."""
        end = self.left + self.step
        return self.order[self.left : end].tolist() if end <= self.most else []

    def costs(self, block: Sequence[int]) -> float:
        """What the next ones are missed."""
        return float(self.missed[self.left : self.left + len(block)].sum())


def families_of(channels: Channels, found: Sequence[Inlet]) -> list[Family]:
    """The channels that could leave, by the layers that make them."""
    made: dict[int, list[str]] = {}
    for node in channels.graph.nodes:
        of = channels.last(first_output(node)) if node.op in MAKERS else None
        for channel in [] if of is None else np.unique(of[of != HELD]).tolist():
            made.setdefault(channel, []).append(first_output(node))
    members: dict[tuple[str, ...], list[int]] = {}
    for channel, by in made.items():
        members.setdefault(tuple(by), []).append(channel)
    return [_family(channels, found, makers, each) for makers, each in members.items()]


def _family(channels: Channels, found: Sequence[Inlet], makers: tuple[str, ...], members: list[int]) -> Family:
    width = max(channels.graph.values[name].shape[-1] for name in makers)
    together = max(1, width // len(members))  # output channels that are one channel here, as in a channel shuffle
    step = max(1, STEP // together) if width >= WIDE else 1
    order, missed = _order(members, found, step)
    return Family(makers, order, missed, step, len(members) - max(1, int(LEAST * len(members))))


def _order(members: list[int], found: Sequence[Inlet], step: int) -> tuple[Ints, Floats]:
    """The order in which channels should leave, those first that are missed least once the others have left."""
    takers = [inlet.elimination() for inlet in found if np.isin(inlet.of, members).any()]
    left = np.array(members, np.int64)
    order: list[Ints] = []
    missed: list[Floats] = []
    while len(left):
        costs = sum((taker.costs(left) for taker in takers), np.zeros(len(left)))
        least = np.argsort(costs, kind="stable")[:step]
        order.append(left[least])
        missed.append(costs[least])
        for taker in takers:
            taker.drop(left[least].tolist())
        left = np.delete(left, least)
    return np.concatenate(order), np.concatenate(missed)


def sensitivity(channels: Channels, families: Sequence[Family], found: Sequence[Inlet], samples: Sequence[Sample]) -> None:
    """Scale what channels are missed to what that does to the outputs: each family loses some of its own, and the model runs.

    Args:
        channels: of the graph.
        families: `missed` and `noise` are set.
        found: inlets in which the other channels stand in for those that leave.
        samples: inputs; a few are looked at.
    """
    some = samples[:LOOKED_AT]
    probe = Probe(channels.graph)
    exact = [probe.run(sample) for sample in some]
    for family in families:
        count = min(max(family.step, int(TRIED * len(family.order))), family.most)
        expected = float(family.missed[:count].sum())
        if count < 1 or expected <= 0:
            continue
        try:
            smaller = Probe(remove(channels, family.order[:count], found))
        except NotAViewError:  # for these alone; others may go
            continue
        family.noise = float(np.mean([_noise(right, smaller.run(sample)) for right, sample in zip(exact, some, strict=True)]))
        family.missed = family.missed * (family.noise / expected)


def _noise(right: Outputs, found: Outputs) -> float:
    """Power of the difference over the power of each output, on average."""
    shares = []
    for name, array in right.items():
        a, b = array.astype(np.float64), found[name].astype(np.float64)
        both = np.isfinite(a) & np.isfinite(b)
        shares.append(float(np.square(a - b)[both].sum()) / max(float(np.square(a[both]).sum()), 1e-30))
    return float(np.mean(shares))

"""What the layers of a model cost on this machine, in float32 and in int8: measured, because no rule holds for all machines."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import format as fmt
from .._runtime import Runtime
from ..convert.graph import Graph
from ..convert.lower import lower
from ..convert.rewrite import first_output
from ..errors import MemoryLimitError
from ..run.profile import profile
from .place import INTEGERS

RUNS = 15


@dataclass(frozen=True)
class Spare:
    """Time that layers may take to be more exact.

    Attributes:
        prices: first output of a layer -> milliseconds that it takes longer in float32 than in int8.
        left: milliseconds that there are.
    """

    prices: Mapping[str, float]
    left: float


def milliseconds(graph: Graph) -> dict[str, float]:
    """Median time of each operator with one thread, by the name of its first output, whether that is in int8 or not."""
    work = graph.copy()
    file, _ = lower(work, chains=None)
    rows = profile(Runtime(fmt.write(file)), file, RUNS)
    names = [first_output(node).split(INTEGERS)[0] for node in work.nodes if node.op != "reshape"]
    found: dict[str, float] = {}
    for name, row in zip(names, rows, strict=True):
        found[name] = found.get(name, 0.0) + row.ms
    return found


def spare(real: Graph, integer: Graph, latency: float) -> Spare:
    """What there is to spend when a run may take so many milliseconds.

    Args:
        real, integer: the same model in float32, and in int8 (after `to_integers`).

    Raises:
        MemoryLimitError: int8 alone takes longer.
    """
    slow, quick = milliseconds(real), milliseconds(integer)
    least = sum(quick.values())
    if least > latency:
        why = f"in int8 it takes {least:.3g} ms here with one thread"
        raise MemoryLimitError(f"the model does not run in {latency:g} ms", why, "--prune 0.5 as well, or a smaller input")
    return Spare({name: max(slow[name] - quick.get(name, 0.0), 0.0) for name in slow}, latency - least)

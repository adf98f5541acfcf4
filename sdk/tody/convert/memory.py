"""A model into so much RAM: what may be given up for it, and, where it does not fit, which layers are to blame."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

from .. import format as fmt
from .. import memory
from ..errors import MemoryLimitError
from .graph import Graph
from .lower import Choice, lower
from .margins import add_margins
from .narrow import widen
from .phases import split_transposed
from .plan import Peak, Plan, peaks
from .schedule import schedule
from .sparse import sparse_weights
from .strips import choose
from .tight import ROWS, tight_chains

_SHOWN = 3  # layers, and values of each
_NAME = 40  # characters
_INT8 = 4  # int8 takes a quarter of float32


def lower_into(graph: Graph, ram: int | None = None) -> tuple[fmt.File, Plan]:
    """As `lower`, for a file that is kept: in the forms that run fastest (phases, wide products, margins), or, of a model whose
    arena and scratch may take at most `ram` bytes on a chip, in those that take little.

    Given up for it, in this order, and only as far as needed: biases and multipliers in 16 bits and weights as blocks, which
    want scratch, a little time for strips of few rows, and the content of inputs after a run.

    Raises:
        MemoryLimitError: it needs more.
    """
    if ram is None:
        split_transposed(graph)
        widen(graph)
        add_margins(graph)
        return lower(graph)
    choices = [True, False] if sparse_weights(graph) else [True]
    for keep_inputs, rows, blocks, short in product((True, False), (None, *ROWS), choices, (True, False)):
        file, where = lower(graph, keep_inputs, blocks, _choice(keep_inputs, rows), short)
        need = memory.need(fmt.write(file))
        if need.ram <= ram:
            graph.notes += _given_up(file, keep_inputs, blocks, short, need)
            return file, where
    raise _error(_least_peaks(graph), graph, ram, need)


def _choice(keep_inputs: bool, rows: int | None) -> Choice:
    """Of chains: those that save time, or memory with so many rows."""
    return partial(choose, threads=1) if rows is None else partial(tight_chains, keep_inputs=keep_inputs, rows=rows)


def _least_peaks(graph: Graph) -> list[Peak]:
    """What is alive at each node where everything is done to save memory; a chain is one node."""
    chains = tight_chains(graph, False, ROWS[-1])
    inside = {i for c in chains for i in range(c.first + 1, c.first + c.count)}
    return [peak for i, peak in enumerate(peaks(graph, False, chains)) if i not in inside]


def refuse_early(graph: Graph, ram: int | None) -> None:
    """Raise MemoryLimitError if a float graph needs more than `ram` even where all of it becomes int8."""
    if ram is None:
        return
    graph = replace(graph)
    schedule(graph, keep_inputs=False)
    found = [
        Peak(p.node, p.bytes // _INT8, tuple((name, size // _INT8) for name, size in p.parts)) for p in _least_peaks(graph)
    ]
    most = max((p.bytes for p in found), default=0)
    if most > ram:
        raise _error(found, graph, ram, memory.Need(most, 0), measured=False)


def _given_up(file: fmt.File, keep_inputs: bool, blocks: bool, short: bool, need: memory.Need) -> list[str]:
    notes = [f"on a chip it takes {need.ram:,} bytes of RAM: {need.arena:,} arena, {need.scratch:,} scratch"]
    chains = [record.attrs["count"] for record in file.records if record.op == "strips"]
    if chains:
        notes.append(f"{sum(chains)} operators run by strips of rows, in chains of {', '.join(map(str, chains))}")
    if not keep_inputs:
        notes.append("to fit, a run overwrites the inputs: fill them before each")
    if not short:
        notes.append("to fit, biases and multipliers are stored in 32 bits: those in 16 need more scratch")
    if not blocks:
        notes.append("to fit, no weights are stored as blocks: those need more scratch")
    return notes


def _error(found: list[Peak], graph: Graph, ram: int, need: memory.Need, measured: bool = True) -> MemoryLimitError:
    """Which layers need more than what the scratch leaves, and what would help; not measured: what int8 would need at least."""
    worst = sorted((p for p in found if p.bytes > ram - need.scratch), key=lambda p: -p.bytes)
    rows = [_row(peak, graph) for peak in worst[:_SHOWN]]
    if len(worst) > _SHOWN:
        rows.append(f"and {len(worst) - _SHOWN} more layers")
    parts = f"arena {need.arena:,}, scratch {need.scratch:,}" if measured else f"arena {need.arena:,}, in int8"
    what = f"the model needs {need.ram:,} bytes of RAM, {ram:,} are allowed"
    return MemoryLimitError(what, "; ".join([parts, *rows]), _hint(worst or found, graph, measured))


def _row(peak: Peak, graph: Graph) -> str:
    parts = [f"{_short(name)}{_shape(graph, name)} {size:,}" for name, size in peak.parts[:_SHOWN]]
    more = [f"{len(peak.parts) - _SHOWN} more"] if len(peak.parts) > _SHOWN else []
    return f"{peak.node.op} {_short(peak.node.outputs[0] or '')} needs {peak.bytes:,} ({' + '.join([*parts, *more])})"


def _shape(graph: Graph, name: str) -> str:
    """Of a value; windows of a chain have none."""
    return " " + "x".join(map(str, graph.values[name].shape)) if name in graph.values else ""


def _short(name: str) -> str:
    """The end of a name, which tells more than its beginning."""
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]


def _hint(worst: list[Peak], graph: Graph, measured: bool) -> str:
    """What makes the values smaller that are alive in these layers."""
    floats = {n for peak in worst for n, _ in peak.parts if n in graph.values and graph.values[n].dtype == "float32"}
    hints = ["a smaller input (--shape)"]
    if measured and floats & {*graph.inputs, *graph.outputs}:
        hints.append("inputs and outputs in int8 (--io int8)")
    if measured and floats - {*graph.inputs, *graph.outputs}:
        hints.append("int8 (tody compress)")
    return ", ".join(hints)

"""Which chains the compiler chooses so that threads wait for each other less often, and what these may be written over."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from tody.convert.graph import Graph, Node, Value
from tody.convert.strips import choose, links


def blocks(count: int, size: int, channels: int, dtype: str = "float32") -> Graph:
    """Depthwise convolutions of 3x3, each with one of 1x1 behind it, over a square image."""
    graph = Graph(inputs=["x0"])
    shape = (1, size, size, channels)
    graph.values["x0"] = Value("x0", shape, dtype)
    for i in range(count):
        for made, op, weights, pack, attrs in (
            (f"d{i}", "dwconv", (9, channels), "plain", {"kernel": (3, 3), "pad": (1, 1, 1, 1), "groups": channels}),
            (f"x{i + 1}", "conv", (1, channels, 1, channels), "panels", {"kernel": (1, 1), "groups": 1}),
        ):
            graph.values[made] = Value(made, shape, dtype)
            graph.values[f"w{made}"] = Value(f"w{made}", weights, dtype, np.zeros(weights, dtype), pack)
            taken = graph.nodes[-1].outputs[0] if graph.nodes else "x0"
            graph.nodes.append(Node(op, [taken, f"w{made}"], [made], attrs))
    graph.outputs = [f"x{count}"]
    return graph


def test_small_layers_run_together_where_threads_need_no_rows_of_each_other() -> None:
    chains = choose(blocks(3, 24, 32))
    assert [(c.first, c.count, c.rows) for c in chains] == [(0, 2, 24), (2, 2, 24), (4, 2, 24)]
    assert all(c.kept == {f"d{i}": 24} for i, c in enumerate(chains))


@pytest.mark.parametrize(
    ("size", "channels", "dtype", "threads"),
    [
        (28, 96, "float32", 2),  # much to do: waiting is little of it
        (7, 256, "float32", 2),  # one thread had four rows, the other three
        (24, 32, "int8", 2),  # chips have no room for chains
        (24, 32, "float32", 1),  # nobody waits
    ],
)
def test_others_stay_apart(size: int, channels: int, dtype: str, threads: int) -> None:
    assert choose(blocks(3, size, channels, dtype), threads=threads) == []


@pytest.mark.parametrize(("slid_over", "addend", "over"), [("d0", "x0", ("x0",)), ("x0", "d0", ())])
def test_a_result_is_not_written_over_what_its_own_filter_slides_over(
    slid_over: str, addend: str, over: tuple[str, ...]
) -> None:
    """A pixel is read for some channels after others of its result have been written: only an addend may lie there."""
    graph = blocks(1, 8, 96)
    graph.nodes[0].attrs |= {"kernel": (1, 1), "pad": (0, 0, 0, 0)}
    graph.nodes[1].inputs[:] = [slid_over, "wx1", None, addend]
    (link,) = links(graph)[-1]
    assert link.count == 2 and link.over == over

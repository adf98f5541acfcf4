"""The order of the passes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from . import patterns
from .affine import join_affine
from .fuse import fuse
from .graph import Graph
from .layout import settle_layout
from .rewrite import sweep
from .simplify import share_constants, simplify


def optimise(graph: Graph) -> None:
    """Turn an imported graph into an equal one that runs faster.

    What is spelt out is named first, because names survive a change of layout and make regions smaller. The layout comes before
    fusion, because transposes stand between the operators that fuse.
    """
    share_constants(graph)
    simplify(graph, layout_is_settled=False)
    while sweep(graph, patterns.RULES):
        simplify(graph, layout_is_settled=False)
    settle_layout(graph)
    fuse(graph)
    while sweep(graph, patterns.RULES):
        fuse(graph)
    if sweep(graph, [join_affine]):  # when no weights are left that could take them
        fuse(graph)
    share_constants(graph)

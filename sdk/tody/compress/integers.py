"""The model in integers: quantise, compile, and say what became of it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..convert import verify
from ..convert.borders import integer_borders
from ..convert.finish import finish
from ..convert.graph import Graph
from ..convert.integers import to_needed_integers
from ..convert.memory import lower_into
from ..convert.optimise import optimise
from ..convert.sparse import sparse_weights
from .floats import MOST, significant
from .job import Job
from .like import check_alike, follow
from .made import Made, islands_of, layers_of
from .place import LINEAR
from .quantise import Settings, quantise, sqnr


def in_integers(job: Job, settings: Settings, asked: Mapping[str, Any], coded: bool, earlier: Graph | None = None) -> Made:
    """The model in int8 or int16, in the steps of an earlier one if there is one.

    Args:
        job: with the float model.
        settings: how to quantise.
        asked: options, for the file's metadata.
        coded: store the file coded.
        earlier: graph of a model of the same structure.
    """
    if earlier is None:
        made = quantise(job.graph, job.data.calibration, settings, job.tell, job.study(settings.io_is_integer))
    else:
        optimise(earlier)
        check_alike(earlier, job.graph)
        made = quantise(earlier, job.data.calibration, settings, job.tell)
        follow(made, job.graph, settings.io_is_integer)
        made.sqnr_db = sqnr(made, job.data.calibration)
    graph, facts = made.graph.copy(), job.facts
    graph.notes = []
    refused = to_needed_integers(graph)
    if settings.activations == 16:
        _shorten(graph)
    if settings.io_is_integer:
        facts = integer_borders(graph, facts)
    feeds = verify.feeds(graph, facts.get("preprocess"))
    arithmetic = {"arithmetic": "int16"} if settings.activations == 16 else {}
    provenance = {"weights": settings.bits, **arithmetic, **asked, **job.data.as_dict()}
    content = finish(lower_into(graph, asked.get("ram"))[0], job.source, facts, feeds, {"compressed": provenance}, coded)
    if sparse := len(sparse_weights(graph)):
        graph.notes.append(f"{sparse} layers store only the blocks of weights that are not zero")
    return Made(content, layers_of(made), islands_of(graph, made, refused), graph.notes, f"int{settings.activations}")


def _shorten(graph: Graph) -> None:
    """Let weights that stay in float32, beside integers of 16 bits, have as many significant bits as float16."""
    for node in graph.nodes:
        weights = graph.values[node.inputs[1] or ""] if node.op in LINEAR else None
        if weights is not None and weights.data is not None and weights.dtype == "float32":
            weights.data = significant(weights.data, MOST)

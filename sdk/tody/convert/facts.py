"""What a `.tody` file says about its model besides the numbers: names, decoder, preprocessing, labels."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import meta
from .detect import find_decoder, usual_labels
from .graph import Graph
from .source import Source


def describe(
    source: Source,
    graph: Graph,
    *,
    decoder: str | Mapping[str, Any] | None = "auto",
    labels: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: Mapping[str, Any] | str | None = "auto",
    score: float | None = None,
    iou: float | None = None,
    name: str | None = None,
    licence: str = "",
) -> dict[str, Any]:
    """The metadata that does not depend on how the model is compiled. Arguments and errors are those of `convert`.

    Args:
        graph: as imported; what is guessed is noted in its notes.
    """
    inputs, outputs = meta.ports(graph, graph.inputs), meta.ports(graph, graph.outputs)
    for port, own in zip(outputs, source.outputs, strict=True):
        port["name"] = own
    facts: dict[str, Any] = {"name": name or source.name, "inputs": inputs, "outputs": outputs}
    asked = _asked(decoder, source.decoder)
    facts.update(_vision(graph, inputs, outputs, asked, preprocess, _labels(labels), source.labels))
    facts.update(source.thresholds if asked is not decoder else {})
    facts.update({k: v for k, v in (("score", score), ("iou", iou), ("licence", licence)) if v not in (None, "")})
    return facts


def target_path(output: str | os.PathLike[str] | None, model: Any) -> Path | None:
    """Where the result goes; None: nowhere.

    Raises:
        UsageError: that is no file in a folder, or it is the model itself.
    """
    if output is None:
        return None
    path = Path(output)
    if isinstance(model, (str, os.PathLike)) and path.exists() and path.samefile(model):
        raise UsageError(f"{path} cannot be written", "it is the model that is read", "name another file: -o OUT.tody")
    if (path.exists() and not path.is_file()) or not path.absolute().parent.is_dir():
        why = "it is a folder, a device or a pipe" if path.exists() else f"there is no folder {path.parent}"
        raise UsageError(f"{path} cannot be written", why, "name a file in a folder that exists")
    return path


def _labels(labels: Sequence[str] | str | os.PathLike[str] | None) -> list[str]:
    if not isinstance(labels, (str, os.PathLike)):
        return list(labels or ())
    try:
        lines = Path(labels).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise UsageError(f"the labels {labels} cannot be read", why, "give a text file with one label a line") from e
    return [line.strip() for line in lines if line.strip()]


def _asked(decoder: str | Mapping[str, Any] | None, own: dict[str, Any] | None) -> str | Mapping[str, Any] | None:
    """The decoder that is wanted, with what the source says of it where that is the same one."""
    if own is None or decoder is None:
        return decoder
    given = {"name": decoder} if isinstance(decoder, str) else dict(decoder)
    return {**own, **given, "name": own["name"]} if given.get("name", "auto") in ("auto", own["name"]) else decoder


def _vision(
    graph: Graph,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    decoder: str | Mapping[str, Any] | None,
    preprocess: Mapping[str, Any] | str | None,
    labels: list[str],
    own: list[str],
) -> dict[str, Any]:
    """The entries `decoder`, `preprocess` and `labels`; what was guessed is noted in the graph's notes.

    Args:
        labels: those that the user gave.
        own: those that the source names, for a decoder of as many classes.
    """
    count = len(labels or own)
    found, usual = find_decoder(graph, inputs, outputs, decoder, count) if decoder is not None else (None, None)
    if not labels and found is not None and found.get("classes") == len(own):
        labels = own
    facts: dict[str, Any] = {"labels": labels} if labels else {}
    if found is not None:
        facts["decoder"] = found
        if not labels and usual_labels(found):
            facts["labels"] = usual_labels(found)
        if labels and found.get("classes", len(labels)) != len(labels):
            graph.notes.append(f"{len(labels)} labels are given for {found['classes']} classes")
        if decoder == "auto":
            graph.notes.append(f"the outputs look like those of {found['name']}: that is the decoder (--decoder names another)")
    if isinstance(preprocess, Mapping):
        facts["preprocess"] = meta.complete_preprocess(meta.plain(dict(preprocess)), inputs)
    elif preprocess == "auto" and usual is not None and any(meta.image_layout(p["shape"]) for p in inputs):
        facts["preprocess"] = meta.complete_preprocess(dict(usual), inputs)
        spelt = ", ".join(f"{key} {facts['preprocess'][key]}" for key in ("pixels", "mean", "std", "fit"))
        graph.notes.append(f"preprocessing is taken as usual for {facts['decoder']['name']}: {spelt}")
    elif preprocess not in (None, "auto"):
        raise UsageError(f"preprocess is {preprocess!r}", "it says how pixels become the input", 'give a dict, "auto" or None')
    return facts

"""The last step of a compilation: golden outputs and provenance into the metadata, and the file's bytes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import format as fmt
from .._runtime import Runtime, __version__
from . import meta
from .exact import exact_outputs
from .source import Source
from .verify import Array, Feed


def finish(
    file: fmt.File,
    source: Source,
    facts: Mapping[str, Any],
    feeds: list[Feed],
    more: Mapping[str, Any] | None = None,
    coded: bool = False,
) -> bytes:
    """Run the file on its golden inputs, complete its metadata, and write it.

    Args:
        file: lowered, without metadata; gets it.
        facts: of `describe`.
        feeds: how each input of the file is made for the golden outputs.
        more: entries of the provenance besides the source's.
        coded: as for `format.write`.
    """
    provenance: dict[str, Any] = {"tody": __version__, "sha256": source.sha256, "opset": source.opset}
    named = {"source": source.file, "producer": source.producer}
    provenance.update({key: value for key, value in named.items() if value})
    provenance.update(more or {})
    content = fmt.write(file)
    portable, native = (_golden_outputs(content, feeds, facts["outputs"], kernels) for kernels in ("portable", None))
    golden, file.blob = meta.golden_facts(feeds, portable, native, exact_outputs(file))
    file.meta = meta.plain({**facts, "golden": golden, "provenance": provenance})
    return fmt.write(file, coded)


def run_once(runtime: Runtime, arrays: Sequence[Array]) -> list[Array]:
    """Copies of the outputs for these inputs."""
    for tensor, array in zip(runtime.inputs, arrays, strict=True):
        np.asarray(tensor)[...] = array
    runtime.run()
    return [np.array(tensor) for tensor in runtime.outputs]


def _golden_outputs(content: bytes, feeds: list[Feed], outputs: list[dict[str, Any]], kernels: str | None) -> dict[str, Array]:
    """What a kernel set computes; the portable kernels, as a chip runs them, compute the same on every machine."""
    runtime = Runtime(content, kernels=kernels, prepare=kernels is None)
    arrays = run_once(runtime, [feed.array(meta.GOLDEN_SEED) for feed in feeds])
    return {port["name"]: array for port, array in zip(outputs, arrays, strict=True)}


def try_decoder(content: bytes, facts: Mapping[str, Any]) -> None:
    """Read boxes or labels once as a device will, if the file says how.

    Raises:
        ModelError: the outputs are not those that the decoder takes.
    """
    from ..run.classify import Classifier
    from ..run.detect import Detector
    from ..run.model import load

    if "decoder" in facts and "preprocess" in facts:
        look = Classifier if facts["decoder"].get("name") == "classify" else Detector
        look(load(content, threads=1))

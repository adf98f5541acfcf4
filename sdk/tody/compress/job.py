"""A model that is about to be compressed, with its data, and how what became of it is measured."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..convert import verify
from ..convert.finish import finish
from ..convert.graph import Graph
from ..convert.memory import lower_into
from ..convert.optimise import optimise
from ..convert.source import Source
from ..errors import UsageError
from ..run.agreement import Answers
from ..run.model import Model, load
from .data import read_data
from .made import Made
from .measure import Accuracy, choose_metric, cost, latency, measure, measure_all
from .quantise import Report, Study, study
from .report import CompressReport
from .samples import Data

SHRUNK = 0.9  # of its size before: a file that is larger than that did not shrink to speak of


@dataclass
class Job:
    """A float model that is about to be compressed.

    Attributes:
        graph: optimised.
        facts: of `describe`.
        data: to calibrate and to measure with.
        metric: that is measured.
        before: the float model.
        tell: takes progress.
        notes: for the report.
        seen: of `study`, by whether inputs and outputs are integers.
        answers: of the float model, in what was measured so far.
    """

    source: Source
    graph: Graph
    facts: dict[str, Any]
    data: Data
    metric: str
    before: Model
    tell: Report
    notes: list[str]
    seen: dict[bool, Study] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)

    def study(self, io_is_integer: bool) -> Study:
        """What the float model is like on all samples that calibrate, looked at once."""
        if io_is_integer not in self.seen:
            self.seen[io_is_integer] = study(self.graph, self.data.calibration, io_is_integer, self.tell)
        return self.seen[io_is_integer]

    def measure(self, after: Model) -> Accuracy:
        """What the compressed model is worth beside the float one: `measure.measure`."""
        return measure(self.before, after, self.data, self.metric, self._tell_measuring, self.answers)

    def measure_all(self, after: Model, metric: str) -> tuple[Accuracy, Accuracy]:
        """The same by a metric, and on all samples: `measure.measure_all`."""
        return measure_all(self.before, after, self.data, metric, self._tell_measuring, self.answers)

    def _tell_measuring(self, done: int, total: int) -> None:
        self.tell("measuring", done, total)


def prepare(source: Source, graph: Graph, facts: dict[str, Any], data: Any, samples: int, metric: str, tell: Report) -> Job:
    """Read the data, choose the metric, optimise the graph, and compile the float model."""
    found = read_data(
        data,
        facts["inputs"],
        facts.get("preprocess"),
        samples=samples,
        progress=lambda done, total: tell("reading data", done, total),
    )
    metric = choose_metric(facts, found, metric)
    feeds = verify.feeds(graph, facts.get("preprocess"))
    optimise(graph)
    _check_source(graph, facts["name"])
    before = load(finish(lower_into(graph.copy())[0], source, facts, feeds), threads=1)
    return Job(source, graph, facts, found, metric, before, tell, [*graph.notes, *found.notes])


def report_of(job: Job, made: Made, weights: int, options: dict[str, Any], measured: Accuracy | None = None) -> CompressReport:
    """Measure the compressed model beside the float one; its accuracy only if it is not `measured` yet."""
    after = load(made.content, threads=1)
    accuracy = measured or job.measure(after)
    times = latency([job.before, after])
    notes = [*job.notes, *made.notes, *_unshrunk(job.before, after, made.arithmetic)]
    if accuracy.metric != job.metric:
        notes.append(f"the float model's mAP is {accuracy.figures['map'][0]:.4f}: the labels are of something else")
    return CompressReport(
        name=job.facts["name"],
        source=job.source.file,
        weights=weights,
        options=options,
        data=job.data.as_dict(),
        before=cost(job.before, times[0]),
        after=cost(after, times[1]),
        accuracy=accuracy,
        layers=made.layers,
        islands=made.islands,
        decoder=job.facts.get("decoder", {}).get("name", ""),
        notes=notes,
        content=made.content,
        arithmetic=made.arithmetic,
    )


def _unshrunk(before: Model, after: Model, arithmetic: str) -> list[str]:
    """A note where the file is about as large as it was, and why."""
    if after.file_bytes < SHRUNK * before.file_bytes:
        return []
    weights, whole = len(before.file.weights), before.file_bytes
    if weights < whole / 2:
        return [f"the file does not shrink: weights are {weights:,} of its {whole:,} bytes, the rest describes the model"]
    if arithmetic == "int16" and not after.decoded_bytes:
        return ["the file does not shrink much: its weights have 16 bits; --coded stores those that they need"]
    return [
        "the file does not shrink: its weights are not of layers that int8 has; --arithmetic float32 makes any weights short"
    ]


def _check_source(graph: Graph, name: str) -> None:
    if any(value.quant for value in graph.values.values()):
        hint = "tody convert takes it as it is; to compress, give the float model that it was made of"
        raise UsageError(f"{name} is quantised already", "its integers would be rounded twice", hint)
    if any(0 in value.shape for name, value in graph.values.items() if name in graph.inputs):
        raise UsageError(f"{name} has an input without elements", "there is nothing to calibrate with")

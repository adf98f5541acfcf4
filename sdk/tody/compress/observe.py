"""Run a float graph on samples and look at every value on its way: ranges, per channel and in all, and histograms."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import format as fmt
from .._runtime import Runtime
from ..convert.graph import Graph, Node
from ..convert.integers import fold_weights
from ..convert.lower import lower
from ..convert.rewrite import first_output
from ..errors import ModelError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Sample = Mapping[str, Array]  # graph input -> array of its shape
Visit = Callable[[str, Array], None]
Progress = Callable[[int], None]  # samples done

HALF_BINS = 2048  # bins of a histogram on each side of zero
FAINT = 1e-7  # mean square of a sample beside that of the strongest: 70 dB below, nothing is meant any more
SMALL = 1e-6  # a channel that is always zero is as good as this
_MOST = 1 << 17  # elements of a value that one sample adds to its histogram


class Probe:
    """A graph that runs operator by operator and shows what each one makes.

    Nothing is kept: a value is shown when it is made, in the memory in which it lies, so that looking at all values of a model
    needs little more memory than running it: operators stay in the order of the graph, as it takes time to find a better one.
    Weights that are quantised are used as the numbers they stand for.

    Args:
        graph: left as it is.
        threads: of the runtime.
    """

    def __init__(self, graph: Graph, threads: int = 2) -> None:
        work = graph.copy()
        fold_weights(work)
        file, _ = lower(work, chains=None, order=False)
        self._runtime = Runtime(fmt.write(file), threads)
        self._inputs = dict(zip(graph.inputs, map(np.asarray, self._runtime.inputs), strict=True))
        self._outputs = dict(zip(graph.outputs, map(np.asarray, self._runtime.outputs), strict=True))
        self._made = [node for node in work.nodes if node.op != "reshape"]
        self._arrays = [np.asarray(self._runtime.op_output(i)) for i in range(len(self._made))]
        self._views = _views(work)

    def run(self, sample: Sample, visit: Visit | None = None, wanted: Collection[str] | None = None) -> dict[str, Array]:
        """Run once; returns copies of the outputs by name, or nothing where it stops before the end.

        Args:
            sample: every input.
            visit: called with the name of each value and its content, which is there only during the call. Of an operator with
                several outputs the first is shown.
            wanted: values to be shown, behind the last of which the run may stop; None: all.
        """
        for name, array in self._inputs.items():
            array[...] = sample[name]
            self._show(name, array, visit)
        if visit is None:
            self._runtime.run()
            return {name: array.copy() for name, array in self._outputs.items()}
        end = len(self._made) if wanted is None else self._end(wanted)
        for i in range(end):
            self._runtime.step(i)
            self._show(first_output(self._made[i]), self._arrays[i], visit)
        return {name: array.copy() for name, array in self._outputs.items()} if end == len(self._made) else {}

    def _end(self, wanted: Collection[str]) -> int:
        """How many operators have to run until all of these values have been shown."""
        home = {view: name for name, views in self._views.items() for view, _ in views}
        names = {home.get(name, name) for name in wanted}
        return max((i for i, node in enumerate(self._made, 1) if first_output(node) in names), default=0)

    def _show(self, name: str, array: Array, visit: Visit | None) -> None:
        if visit is not None:
            visit(name, array)
            for view, shape in self._views.get(name, ()):
                visit(view, array.reshape(shape))


def _views(graph: Graph) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """Reshaped values by the value whose memory they are."""
    home: dict[str, str] = {}
    views: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for node in graph.nodes:
        if node.op == "reshape":
            y, x = first_output(node), node.inputs[0] or ""
            home[y] = home.get(x, x)
            views.setdefault(home[y], []).append((y, graph.values[y].shape))
    return views


@dataclass
class Spread:
    """What was seen of a value.

    Attributes:
        low, high: smallest and largest finite element.
        channel_low, channel_high: the same for each index of the last dimension.
        infinite: whether an element was infinite.
        channel_typical: for each channel the geometric mean over samples of its largest magnitude: few strange samples hardly
            move it.
        counts: [2 * HALF_BINS] weight of the elements in each bin of the given width; zero is between the two in the
            middle. Elements that are exactly zero are left out, because every quantisation keeps them. Each sample weighs the
            more the weaker it is (its mean square): an error counts by how large it is beside the sample's own values, that one
            sample with huge ones does not decide about all. A faint sample counts as the strongest does, so that neither does
            one with next to nothing in it.
        width: of a bin, a power of two.
        weights: how much an error of each channel matters to what consumes the value; None: all alike.
    """

    low: float = 0.0
    high: float = 0.0
    channel_low: Floats = field(default_factory=lambda: np.zeros(0))
    channel_high: Floats = field(default_factory=lambda: np.zeros(0))
    channel_typical: Floats = field(default_factory=lambda: np.zeros(0))
    infinite: bool = False
    counts: Floats = field(default_factory=lambda: np.zeros(2 * HALF_BINS))
    width: float = 0.0
    weights: Floats | None = None
    _samples: int = 0
    _strongest: float = 0.0
    _weights: float = 0.0
    _logarithms: Floats | float = 0.0

    def add(self, array: Array, counted: bool = True) -> bool:
        """Look at one more array of the value. The last dimension is that of the channels.

        Args:
            counted: for the histogram as well.

        Returns:
            whether it holds numbers alone; of an array with NaN nothing is taken.
        """
        rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        low, high = rows.min(axis=0), rows.max(axis=0)
        if np.isnan(low).any():
            return False
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            self.infinite = True
            rows = np.where(np.isinf(rows), 0, rows)
            low, high = rows.min(axis=0), rows.max(axis=0)
        fresh = not self.channel_low.size
        self.channel_low = low.astype(np.float64) if fresh else np.minimum(self.channel_low, low)
        self.channel_high = high.astype(np.float64) if fresh else np.maximum(self.channel_high, high)
        self.low, self.high = float(self.channel_low.min()), float(self.channel_high.max())
        self._samples += 1
        self._logarithms = self._logarithms + np.log(np.maximum(np.maximum(-low, high), SMALL).astype(np.float64))
        self.channel_typical = np.exp(self._logarithms / self._samples)
        if counted:
            self._count(rows)
        return True

    def _count(self, rows: Array) -> None:
        self._reach(max(-self.low, self.high))
        if not self.width:
            return
        some = rows[:: -(-rows.size // _MOST)]
        index = np.floor(some * np.float32(1 / self.width)).astype(np.int32).reshape(-1)
        index += HALF_BINS
        np.clip(index, 0, 2 * HALF_BINS - 1, out=index)
        each = (some != 0).astype(np.float32)
        if self.weights is not None:
            each *= self.weights.astype(np.float32)
        self.counts += np.bincount(index, each.reshape(-1), 2 * HALF_BINS) * self._weight(some)

    def _weight(self, array: Array) -> float:
        """What the elements of one more sample count. Those before it count less at once if it shows that they are faint."""
        strength = float(np.mean(np.square(array, dtype=np.float64)))
        if strength > self._strongest:
            self._strongest = strength
            before = (self._samples - 1) / strength
            if self._weights > before / FAINT:
                self.counts *= before / self._weights
                self._weights = before
        weight = 1 / (strength if strength > FAINT * self._strongest else self._strongest or 1.0)
        self._weights += weight
        return weight

    def histogram(self, bins: int) -> tuple[list[float], float, float]:
        """The counts in so many bins, and the numbers between which these lie; for pictures of the distribution."""
        used = np.flatnonzero(self.counts)
        if not used.size:
            return [], 0.0, 0.0
        first, last = int(used[0]), int(used[-1]) + 1
        step = -(-(last - first) // bins)
        counts = np.pad(self.counts[first:last], (0, step * bins - (last - first))).reshape(bins, step).sum(axis=1)
        low = (first - HALF_BINS) * self.width
        return counts.tolist(), low, low + step * bins * self.width

    def _reach(self, most: float) -> None:
        """Let the bins cover -most to most: each doubling of their width makes one of two neighbours."""
        if most <= 0:
            return
        if not self.width:
            self.width = float(2.0 ** np.clip(np.ceil(np.log2(most / HALF_BINS)), -126, 127))
        while self.width * HALF_BINS < most and self.width < 2.0**126:
            self.width *= 2
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[:] = 0
            self.counts[HALF_BINS // 2 : HALF_BINS // 2 * 3] = merged


def observe(
    graph: Graph,
    samples: Sequence[Sample],
    weights: Mapping[str, Floats] | None = None,
    progress: Progress | None = None,
    *,
    every: int = 1,
    counted: bool = True,
) -> dict[str, Spread]:
    """What every float32 value of a graph is like on these samples; streams, and keeps no activations.

    Args:
        graph: of float32 operators.
        samples: at least one.
        weights: value -> how much each channel matters (`Spread.weights`), for those that have such weights.
        progress: called after each sample.
        every: only each sample whose number is a multiple of this is looked at.
        counted: histograms as well, not only the ends.

    Raises:
        ModelError: a value is not a number.
    """
    probe = Probe(graph)
    seen: dict[str, Spread] = {}

    def visit(name: str, array: Array) -> None:
        if array.dtype != np.float32 or not array.size:
            return
        if name not in seen:
            seen[name] = Spread(weights=(weights or {}).get(name))
        if not seen[name].add(array, counted):
            raise ModelError(
                f"tensor {name} is not a number (NaN) for sample {number}",
                "a range cannot be chosen for it",
                "look at the sample and at the preprocessing; run the float model on it",
            )

    for done, number in enumerate(range(0, len(samples), every), 1):
        probe.run(samples[number], visit)
        if progress:
            progress(done)
    return seen


def consumer_weights(graph: Graph) -> dict[str, Floats]:
    """How much an error in each channel of a value matters: the squares of the weights that the channel meets, mean 1.

    Values that anything but a linear operator takes count alike in all channels.
    """
    found: dict[str, Floats] = {}
    for name, users in graph.consumers().items():
        shares = [_share(graph, node, name) for node in users]
        kept = [share for share in shares if share is not None]
        if kept and len(kept) == len(shares) and name not in graph.outputs:
            found[name] = np.mean(kept, axis=0)
    return found


def _share(graph: Graph, node: Node, name: str) -> Floats | None:
    if node.op not in ("conv", "dwconv", "deconv", "dense") or node.inputs[0] != name or name in node.inputs[1:]:
        return None
    weights = graph.values[node.inputs[1] or ""].data
    if weights is None or weights.dtype != np.float32:
        return None
    squares = np.square(weights.astype(np.float64))
    share: Floats = squares.sum(axis=0) if node.op == "dwconv" else squares.sum(axis=(1, 2)).reshape(-1)
    return share / share.mean() if share.mean() > 0 else None

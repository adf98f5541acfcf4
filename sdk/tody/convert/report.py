"""What a conversion did and what the result will cost."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import builtins
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .graph import Graph
from .rewrite import node_macs
from .verify import Difference

_SHOWN = 8  # islands


@dataclass
class ConvertReport:
    """A converted model and the facts about it.

    Attributes:
        name: of the model.
        source: file name of the source.
        inputs, outputs: name, dtype and shape of each.
        ops_before: the source's operators, how many of each.
        ops_after: the same of the primitives that are left.
        macs: multiplications with addition in one run.
        weight_bytes, arena_bytes, scratch_bytes, file_bytes: sizes.
        differences: from the source, the worst over all seeds; empty when it was not checked.
        against: what the source was run with.
        decoder: name of the decoder, if any.
        islands: of a quantised model, the operators that compute in float32, and why.
        notes: what was assumed.
        content: the bytes of the `.tody` file.
    """

    name: str
    source: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    ops_before: dict[str, int]
    ops_after: dict[str, int]
    macs: int
    weight_bytes: int
    arena_bytes: int
    scratch_bytes: int
    file_bytes: int
    differences: list[Difference] = field(default_factory=list)
    against: str = ""
    decoder: str = ""
    islands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    content: builtins.bytes = field(default=b"", repr=False)

    @property
    def bytes(self) -> builtins.bytes:
        """The `.tody` file."""
        return self.content

    @property
    def max_error(self) -> float | None:
        """The largest difference from the source relative to an output's range; None when it was not checked."""
        return max((d.relative for d in self.differences), default=None)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Put the file in place: a crash leaves the old one or the new one, never half of it. Returns its path."""
        try:
            return write_atomically(Path(path), self.content)
        except OSError as e:
            if e.errno:
                e.filename = os.fspath(path)  # not the one beside it, which the user does not know
            raise

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        facts = {key: value for key, value in vars(self).items() if key != "content"}
        return {**facts, "differences": [d.as_dict() for d in self.differences], "max_error": self.max_error}

    def __str__(self) -> str:
        rows = [
            ("model", self.name),
            *(("input", _port(p)) for p in self.inputs),
            *(("output", _port(p)) for p in self.outputs),
            ("operators", f"{sum(self.ops_before.values())} in the source: {_counts(self.ops_before)}"),
            ("primitives", f"{sum(self.ops_after.values())} left: {_counts(self.ops_after)}"),
            ("multiply-adds", f"{self.macs / 1e6:,.1f} million"),
            ("weights", size(self.weight_bytes)),
            ("file", size(self.file_bytes)),
            ("memory", f"{size(self.arena_bytes)} arena, {size(self.scratch_bytes)} scratch with one thread"),
            ("decoder", self.decoder or "none"),
            *(("difference", f"{d.name}: {d.largest:.3g}, {d.relative:.2g} of its range") for d in self.differences),
            ("checked against", self.against or "nothing"),
            *(("stays float32", line) for line in self.islands[:_SHOWN]),
            *[("stays float32", f"and {len(self.islands) - _SHOWN} more")][: len(self.islands) > _SHOWN],
            *(("note", note) for note in self.notes),
        ]
        return table(rows)


def table(rows: list[tuple[str, str]]) -> str:
    """Two columns; a name that repeats is shown once."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{'' if i and rows[i - 1][0] == name else name:<{width}}  {text}" for i, (name, text) in enumerate(rows))


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**20:.2f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _port(port: dict[str, Any]) -> str:
    return f"{port['name']} {port['dtype']} {'x'.join(map(str, port['shape'])) or 'scalar'}"


def _counts(ops: dict[str, int]) -> str:
    return ", ".join(f"{op} {n}" for op, n in sorted(ops.items(), key=lambda item: (-item[1], item[0])))


def write_atomically(path: Path, content: bytes) -> Path:
    """Write beside the target, sync, rename over it, sync the folder."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def macs(graph: Graph) -> int:
    """Multiplications with addition in one run of the graph: convolutions, matrix products and recurrent layers."""
    return sum(node_macs(graph, node) for node in graph.nodes)

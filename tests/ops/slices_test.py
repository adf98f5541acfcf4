"""Every operator case of float32 with slices of channels for its inputs and its output: they give the same, others stay."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import Builder, Case, load

from tody import format
from tody._runtime import Runtime, kernel_sets
from tody.convert.slices import READS, WRITES

BEFORE, BEHIND = 3, 2  # channels of the whole that a slice leaves out
ROUNDING = 2e-6  # of functions and sums, relative to the largest
HERE = Path(__file__).parent
CASES = [case for path in sorted(HERE.glob("*.toml")) for case in load(path) if not case.refuse]


def _can_be_slice(tensor: format.Tensor) -> bool:
    return tensor.place == "arena" and len(tensor.shape) > 1 and tensor.dtype == "float32"


def _inputs(case: Case, file: format.File) -> list[int]:
    """The inputs of the operator that can be slices, if any."""
    (record,) = file.records
    able = range(len(record.inputs)) if case.op == "concat" else READS.get(case.op, ())
    found = [record.inputs[i] for i in able if i < len(record.inputs)]
    return [t for t in found if t is not None and _can_be_slice(file.tensors[t])]


def _outputs(case: Case, file: format.File) -> list[int]:
    (record,) = file.records
    y = record.outputs[0]
    addend = case.op in ("conv", "dwconv") and len(record.inputs) > 3 and record.inputs[3] is not None
    return [y] if case.op in WRITES and not addend and y is not None and _can_be_slice(file.tensors[y]) else []


def _axis_is_last(case: Case) -> bool:
    return case.op != "concat" or case.params["axis"] == len(case.expected[0].shape) - 1


def _folds(case: Case) -> bool:
    """Whether an image goes by phases that are made one pixel first, for which its rows have to follow each other."""
    tiles, x = [t.tile for t in case.inputs if t is not None], case.inputs[0]
    return any(tiles) and max(case.params.get("stride", (1, 1))) > 1 and x is not None and x.shape[-1] % 4 > 0


def _is_able(case: Case) -> bool:
    file = Builder(case).file
    return _axis_is_last(case) and not _folds(case) and bool(_inputs(case, file) or _outputs(case, file))


ABLE = [case for case in CASES if _is_able(case)]


def _widen(file: format.File, index: int) -> int:
    """Make a tensor a slice of a new, longer one, whose index is returned."""
    tensor = file.tensors[index]
    size = format.DTYPES[tensor.dtype][1].itemsize
    whole = replace(tensor, shape=(*tensor.shape[:-1], BEFORE + tensor.shape[-1] + BEHIND))
    whole.at = format.align(file.arena_bytes, 64)
    file.arena_bytes = whole.at + whole.bytes
    file.tensors[index] = replace(tensor, at=whole.at + BEFORE * size, pitch=whole.shape[-1])
    file.tensors.append(whole)
    return len(file.tensors) - 1


def _part(array: np.ndarray) -> np.ndarray:
    return array[..., BEFORE : array.shape[-1] - BEHIND]


def _run(case: Case, inputs: bool, output: bool, kernels: str, threads: int) -> np.ndarray:
    """The result with slices for what can be one."""
    builder = Builder(case)
    file = builder.file
    made = _outputs(case, file) if output else []
    wholes = {i: _widen(file, i) for i in dict.fromkeys([*(_inputs(case, file) if inputs else []), *made])}
    (y,) = file.outputs[:1]
    fed, file.outputs = list(file.inputs), []
    file.inputs = [wholes.get(i, i) for i in fed]
    file.inputs.append(wholes.get(y, y))
    runtime = Runtime(format.write(file), threads=threads, kernels=kernels)
    arrays = [np.asarray(t) for t in runtime.inputs]
    for i, array in zip(fed, arrays):
        array.reshape(-1).view(np.uint8)[...] = 0x5B if i in wholes else 0xA5
    for i, array, feed in zip(fed, arrays, builder.feeds):
        (_part(array) if i in wholes else array)[...] = feed
    arrays[-1].reshape(-1).view(np.uint8)[...] = 0x77
    before = [array.copy() for array in arrays]
    runtime.run()
    for was, array in zip(before[:-1], arrays[:-1]):
        assert was.tobytes() == array.tobytes(), "an input changed"
    result = _part(arrays[-1]).copy() if y in wholes else arrays[-1].copy()
    if y in wholes:
        _part(before[-1])[...] = _part(arrays[-1])
        assert before[-1].tobytes() == arrays[-1].tobytes(), "wrote outside of its slice"
    return np.ascontiguousarray(result)


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.op}: {c.name}") for c in ABLE])
def test_slices_give_the_same(case: Case) -> None:
    for kernels in kernel_sets():
        whole = _run(case, False, False, kernels, 1)
        for threads, inputs, output in ((1, True, True), (2, True, True), (1, True, False), (1, False, True)):
            got = _run(case, inputs, output, kernels, threads)
            limit = np.abs(whole[np.isfinite(whole)]).max(initial=0) * ROUNDING  # vectors may end elsewhere
            np.testing.assert_allclose(got, whole, ROUNDING, limit, err_msg=kernels)


def test_all_that_can_has_cases() -> None:
    assert {c.op for c in ABLE} == {*READS, *WRITES}

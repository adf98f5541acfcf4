"""A fine-tuned model that is quantised like the one before needs few bytes beside it, and is as good."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from zoo import ZOO

import onnx
import tody
from onnx import numpy_helper
from tody.errors import UsageError
from tody.fleet.delta import make_delta


def tuned(model: Any, share: float) -> Any:
    """The model after a training that moved each weight by about `share` of what weights of its tensor are."""
    later = onnx.ModelProto()
    later.CopyFrom(model)
    for i, tensor in enumerate(later.graph.initializer):
        data = numpy_helper.to_array(tensor)
        if data.dtype == np.float32 and data.ndim >= 2:
            moved = np.random.default_rng(i).normal(0, share * data.std(), data.shape)
            tensor.CopyFrom(numpy_helper.from_array((data + moved).astype(np.float32), tensor.name))
    return later


def inputs(model: Any) -> np.ndarray:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(3).normal(0, 1, (8, *shape[1:])).astype(np.float32)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "ssdlite_mbv2_300", "vit_tiny"])
def test_an_update_is_small_and_good(name: str) -> None:
    before = ZOO[name]()
    after, data = tuned(before, 0.02), inputs(before)
    first = tody.compress(before, data, force=True)
    alone = tody.compress(after, data, force=True)
    like = tody.compress(after, data, like=before, force=True)
    sizes = [len(make_delta(first.content, other.content)) for other in (alone, like)]
    assert sizes[1] <= 0.4 * len(like.content) and sizes[1] < 0.95 * sizes[0]
    worst = [min(output.sqnr_db for output in report.accuracy.agreement.outputs) for report in (alone, like)]
    assert worst[1] >= worst[0] - 4


def test_the_same_model_gives_the_same_file() -> None:
    model = ZOO["ic_resnet8"]()
    data = inputs(model)
    assert tody.compress(model, data, like=model, force=True).content == tody.compress(model, data, force=True).content


def test_weights_that_outgrow_their_steps_get_larger_ones() -> None:
    before = ZOO["ic_resnet8"]()
    after, data = tuned(before, 0.6), inputs(before)
    report = tody.compress(after, data, like=before, force=True)
    assert min(output.sqnr_db for output in report.accuracy.agreement.outputs) > 10


def test_another_structure_is_refused() -> None:
    with pytest.raises(UsageError, match="not built as the one"):
        tody.compress(ZOO["ic_resnet8"](), inputs(ZOO["ic_resnet8"]()), like=ZOO["squeezenet_1_1"]())


@pytest.mark.parametrize("more", [{"weights": 4}, {"prune": 0.5}, {"sparsity": 0.5}, {"latency": 5.0}, {"target_size": 9000}])
def test_what_is_chosen_anew_does_not_go_with_it(more: dict[str, Any]) -> None:
    model = ZOO["ic_resnet8"]()
    with pytest.raises(UsageError, match="like goes with plain int8"):
        tody.compress(model, inputs(model), like=model, **more)

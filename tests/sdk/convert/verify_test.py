"""What the source is run by, where onnxruntime cannot."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx_models as om

from onnx import TensorProto, helper
from tody.convert import convert, verify
from tody.errors import AccuracyError

X = {"x": np.array([1, -2, 3], np.float32)}


def test_the_reference_stands_in_and_is_named() -> None:
    """Old exporters compare floats before their opset allows it, which onnxruntime refuses to load."""
    node = helper.make_node("Equal", ["x", "x"], ["y"])
    model = om.model_of([node], [om.info("x", (3,))], [om.info("y", (3,), TensorProto.BOOL)], opset=9)
    (y,), against = verify.reference(model, X, ["y"])
    assert y.all() and against.startswith("onnx.reference") and "onnxruntime cannot run the source" in against
    assert convert(model).against == against


def test_a_source_that_nothing_runs() -> None:
    model = om.model_of([helper.make_node("Mystery", ["x"], ["y"])], [om.info("x", (3,))], [om.info("y", (3,))])
    with pytest.raises(AccuracyError, match="does not run") as caught:
        verify.reference(model, X, ["y"])
    assert "Mystery" in caught.value.why and "--no-verify" in caught.value.hint

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
    (y,), against = verify.Reference(model).run(X, ["y"])
    assert y.all() and against.startswith("onnx.reference") and "onnxruntime cannot run the source" in against
    assert convert(model).against == against


def test_a_source_that_nothing_runs() -> None:
    model = om.model_of([helper.make_node("Mystery", ["x"], ["y"])], [om.info("x", (3,))], [om.info("y", (3,))])
    with pytest.raises(AccuracyError, match="does not run") as caught:
        verify.Reference(model).run(X, ["y"])
    assert "Mystery" in caught.value.why and "--no-verify" in caught.value.hint


def test_a_session_serves_inputs_of_the_same_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    made: list[object] = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: made.append(a) or session(*a, **k))
    model = om.model_of([helper.make_node("Neg", ["x"], ["y"])], [om.info("x", (3,))], [om.info("y", (3,))])
    reference = verify.Reference(model)
    for x, count in ((X["x"], 1), (-X["x"], 1), (np.ones(5, np.float32), 2), (np.zeros(5, np.float32), 2)):
        (y,), _ = reference.run({"x": x}, ["y"])
        assert np.array_equal(y, -x) and len(made) == count

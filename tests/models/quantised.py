"""The small models of the zoo as onnxruntime's static quantiser leaves them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnxruntime import quantization
from zoo import ZOO

import onnx
from tody import golden

SAMPLES = 2  # to calibrate with


class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Calibration data for a model with one input."""

    def __init__(self, model: Any) -> None:
        port = model.graph.input[0]
        shape = tuple(d.dim_value for d in port.type.tensor_type.shape.dim)
        self.left: Iterator[dict[str, NDArray[Any]]] = iter(
            [{port.name: golden.splitmix64(seed, shape, -2, 2)} for seed in range(SAMPLES)]
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self.left, None)


def quantised(name: str, style: str = "QDQ", activations: str = "QUInt8") -> Any:
    """A model of the zoo, quantised to 8 bits with a scale per channel."""
    return quantise(ZOO[name](), style, activations)


def quantise(model: Any, style: str = "QDQ", activations: str = "QUInt8") -> Any:
    """A model with one input, quantised to 8 bits with a scale per channel."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.onnx"), Path(folder, "quantised.onnx")
        onnx.save(model, source)
        quantization.quantize_static(
            source,
            target,
            Samples(model),
            quant_format=quantization.QuantFormat[style],
            per_channel=True,
            activation_type=quantization.QuantType[activations],
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(target)

"""From a torch module to ONNX."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...convert.onnx import load_onnx
from ...errors import ModelError, TodyError

OPSET = 17


def export(module: torch.nn.Module, example: Tensor | Sequence[Tensor], names: Sequence[str] = ()) -> Any:
    """An onnx.ModelProto of a module in evaluation mode, for a batch of one.

    Args:
        module: left in the mode in which it is.
        example: one input, or several, with a batch of 1 in front.
        names: of the inputs; "input" or "input0", "input1", .. otherwise.

    Raises:
        ModelError: torch cannot export it.
        MissingExtraError: the package onnx is not installed.
    """
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    names = list(names) or (["input"] if len(inputs) == 1 else [f"input{i}" for i in range(len(inputs))])
    training = module.training
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder) / "model.onnx"
            module.eval()
            with torch.no_grad():
                torch.onnx.export(module, inputs, str(path), input_names=names, opset_version=OPSET, dynamo=False)
            return load_onnx(path)
    except TodyError:
        raise
    except Exception as e:  # torch raises classes of its own for what it cannot export
        why = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
        raise ModelError("torch cannot export the module", why, "export it yourself and give the .onnx file") from e
    finally:
        module.train(training)

"""Other runtimes behind one interface, so that `tody bench --against` can measure them beside tody. Imported lazily."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._runtime import __version__ as own_version
from ..errors import UsageError

Arrays = dict[str, NDArray[Any]]


class Peer(Protocol):
    """One runtime. The constructor imports it (not timed), `load` is timed as load time, `run` as inference.

    Attributes:
        package: what pip calls it.
        module: what Python calls it.
        suffix: of the model files it reads, put in place of the source model's `.onnx`.
    """

    package: str
    module: str
    suffix: str

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        """Raises UsageError for "float16" where it computes in float32 alone, or this file does not know how to ask for it."""

    def run(self, inputs: Arrays) -> NDArray[Any]:
        """The first output, for inputs by the names and in the order of the source model."""


def _refuse_float16(name: str, precision: str) -> None:
    if precision != "float32":
        raise UsageError(f"{name} is measured in float32 alone", "it is not asked for float16 here", "leave --precision out")


class Tody:
    package, module, suffix = "tody", "tody", ".tody"

    def __init__(self) -> None:
        from .model import load

        self._load = load

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        self.model = self._load(path, threads, precision=precision)

    def run(self, inputs: Arrays) -> NDArray[Any]:
        out = self.model(inputs)
        return out[self.model.outputs[0].name] if isinstance(out, dict) else out


class OnnxRuntime:
    package, module, suffix = "onnxruntime", "onnxruntime", ".onnx"

    def __init__(self) -> None:
        self.api = importlib.import_module(self.module)

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        _refuse_float16(self.package, precision)
        options = self.api.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self.session = self.api.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Arrays) -> NDArray[Any]:
        return np.asarray(self.session.run(None, inputs)[0])


class OpenCv:
    package, module, suffix = "opencv-python", "cv2", ".onnx"

    def __init__(self) -> None:
        self.api: Any = importlib.import_module(self.module)

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        _refuse_float16(self.package, precision)
        self.api.setNumThreads(threads)
        self.net = self.api.dnn.readNetFromONNX(str(path))
        self.names = self.net.getUnconnectedOutLayersNames()

    def run(self, inputs: Arrays) -> NDArray[Any]:
        for name, value in inputs.items():
            self.net.setInput(value, name)
        return np.asarray(self.net.forward(self.names)[0])


class OpenVino:
    package, module, suffix = "openvino", "openvino", ".onnx"

    def __init__(self) -> None:
        self.api = importlib.import_module(self.module)

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        _refuse_float16(self.package, precision)
        wish = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1"}
        wish |= {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        self.request = self.api.Core().compile_model(str(path), "CPU", wish).create_infer_request()

    def run(self, inputs: Arrays) -> NDArray[Any]:
        return np.array(self.request.infer(inputs)[0])


class Ncnn:
    """Takes the pair of files that pnnx writes; ncnn has no batch dimension. fp16 is off, unless all compute in it."""

    package, module, suffix = "ncnn", "ncnn", ".ncnn.param"

    def __init__(self) -> None:
        self.api = importlib.import_module(self.module)

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        self.net = self.api.Net()
        option = self.net.opt
        option.num_threads, option.use_vulkan_compute = threads, False
        option.use_bf16_storage = False
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = precision == "float16"
        if self.net.load_param(str(path)) or self.net.load_model(str(path.with_suffix(".bin"))):
            raise UsageError(f"ncnn cannot load {path}", "it needs the .param and the .bin file that pnnx writes")

    def run(self, inputs: Arrays) -> NDArray[Any]:
        extractor = self.net.create_extractor()
        for i, value in enumerate(inputs.values()):
            extractor.input(f"in{i}", self.api.Mat(value[0]))
        return np.array(extractor.extract("out0")[1])


class Mnn:
    package, module, suffix = "MNN", "MNN", ".mnn"

    def __init__(self) -> None:
        self.api = importlib.import_module(self.module)

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        self.net = self.api.Interpreter(str(path))
        config = {"backend": "CPU", "numThread": threads, "precision": "low" if precision == "float16" else "high"}
        self.session = self.net.createSession(config)
        self.targets = self.net.getSessionInputAll(self.session)
        self.output = self.net.getSessionOutput(self.session)

    def run(self, inputs: Arrays) -> NDArray[Any]:
        api = self.api
        for name, value in inputs.items():
            tensor = api.Tensor(value.shape, api.Halide_Type_Float, value, api.Tensor_DimensionType_Caffe)
            self.targets[name].copyFrom(tensor)
        self.net.runSession(self.session)
        shape = self.output.getShape()
        host = api.Tensor(shape, api.Halide_Type_Float, np.zeros(shape, np.float32), api.Tensor_DimensionType_Caffe)
        self.output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), copy=True)


class LiteRt:
    package, module, suffix = "ai-edge-litert", "ai_edge_litert", ".tflite"

    def __init__(self) -> None:
        self.api = importlib.import_module("ai_edge_litert.interpreter")

    def load(self, path: Path, threads: int, precision: str = "float32") -> None:
        _refuse_float16(self.package, precision)
        self.net = self.api.Interpreter(model_path=str(path), num_threads=threads)
        self.net.allocate_tensors()
        self.targets = self.net.get_input_details()
        self.output = self.net.get_output_details()[0]["index"]

    def run(self, inputs: Arrays) -> NDArray[Any]:
        for target, value in zip(self.targets, inputs.values()):
            self.net.set_tensor(target["index"], value)
        self.net.invoke()
        return np.array(self.net.get_tensor(self.output))


PEERS: dict[str, type[Peer]] = {
    "tody": Tody,
    "onnxruntime": OnnxRuntime,
    "opencv": OpenCv,
    "openvino": OpenVino,
    "ncnn": Ncnn,
    "mnn": Mnn,
    "litert": LiteRt,
}


def installed() -> list[str]:
    """Names of the other runtimes that this Python has."""
    return [name for name, peer in PEERS.items() if name != "tody" and importlib.util.find_spec(peer.module)]


def version(name: str) -> str:
    """The version of an installed runtime, "" if it does not tell."""
    if name == "tody":
        return own_version
    package = PEERS[name].package
    for candidate in (package, f"{package}-headless"):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""

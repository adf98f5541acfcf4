"""tody: convert a model, run it on a camera, see what it finds.

Names are imported when they are first used, so that `import tody` is quick and a device needs only what it uses.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from ._runtime import __version__ as __version__
    from .camera import Camera as Camera
    from .camera.screen import Screen as Screen
    from .compress import train as train
    from .compress.compress import compress as compress
    from .convert.convert import convert as convert
    from .errors import TodyError as TodyError
    from .flash.device import Device as Device
    from .fleet.device.follow import follow as follow
    from .run.classify import Classifier as Classifier
    from .run.detect import Detector as Detector
    from .run.detections import Detections as Detections
    from .run.model import Model as Model
    from .run.model import load as load

_HOMES = {
    "Camera": "camera",
    "Classifier": "run.classify",
    "Detections": "run.detections",
    "Detector": "run.detect",
    "Device": "flash.device",
    "Model": "run.model",
    "Screen": "camera.screen",
    "TodyError": "errors",
    "__version__": "_runtime",
    "compress": "compress.compress",
    "convert": "convert.convert",
    "follow": "fleet.device.follow",
    "load": "run.model",
}

_MODULES = {"errors": "errors", "train": "compress.train"}

__all__ = [
    "Camera",
    "Classifier",
    "Detections",
    "Detector",
    "Device",
    "Model",
    "Screen",
    "TodyError",
    "__version__",
    "compress",
    "convert",
    "errors",
    "follow",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

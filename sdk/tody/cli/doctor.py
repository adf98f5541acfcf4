"""tody doctor: what is here, what is missing, and the command that brings it."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import platform
from typing import Any

from .output import Output

NAME = "doctor"
HELP = "say what this machine has, what is missing, and how to get it"
# Import name, extra it belongs to, what for.
_OPTIONAL = (
    ("cv2", "camera", "cameras, clips, pictures"),
    ("onnx", "convert", "converting ONNX files"),
    ("pycocotools", "eval", "measuring mAP"),
    ("serial", "serial", "microcontrollers"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def facts() -> dict[str, Any]:
    """Everything that doctor and the overview tell."""
    from .. import __version__, models
    from .._runtime import cpu_features, kernel_sets
    from ..camera.devices import cameras
    from ..run import peers

    found = {name: _version(name) for name in ("numpy", *(name for name, _, _ in _OPTIONAL))}
    sets = kernel_sets()
    return {
        "tody": __version__,
        "python": platform.python_version(),
        "platform": " ".join(filter(None, (platform.system(), platform.machine(), *platform.libc_ver()))),
        "cpu": {"model": _cpu_model(), "features": cpu_features(), "kernels": sets, "best": sets[-1]},
        "packages": found,
        "runtimes": {name: peers.version(name) for name in peers.installed()},
        "missing": [{"package": n, "for": what, "try": f"pip install 'tody[{x}]'"} for n, x, what in _OPTIONAL if not found[n]],
        "cameras": [c.as_dict() for c in cameras()],
        "models": [p.stem for p in models.cached()],
        "cache": str(models.cache_dir()),
    }


def _version(module: str) -> str | None:
    """The version of an installed package by the name it is imported by; imports nothing."""
    import importlib.metadata  # slow to import, and every `tody --help` would pay for it
    from importlib.util import find_spec

    if find_spec(module) is None:
        return None
    for name in importlib.metadata.packages_distributions().get(module, []):
        return importlib.metadata.version(name)
    return "?"


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith(("model name", "Model", "Hardware")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "?"


def run(args: argparse.Namespace, out: Output) -> int:
    here = facts()
    out.data(here)
    out.line(f"tody {here['tody']}, Python {here['python']}, {here['platform']}")
    cpu = here["cpu"]
    out.line(f"cpu       {cpu['model']}")
    out.line(f"features  {', '.join(cpu['features']) or 'none that the kernels know'}")
    out.line(f"kernels   {', '.join(cpu['kernels'])}; used: {cpu['best']}")
    for name, version in here["packages"].items():
        out.line(f"package   {name} {version or 'is not installed'}")
    if here["runtimes"]:
        out.line(
            "beside    "
            + ", ".join(f"{name} {version}" for name, version in here["runtimes"].items())
            + " (tody bench --against all)"
        )
    for camera in here["cameras"]:
        out.line(f"camera    {camera['source']}  {camera['name']}  {camera['problem']}".rstrip())
    if not here["cameras"]:
        out.line("camera    none; fake://door is always there")
    out.line(f"models    {', '.join(here['models']) or 'none'} in {here['cache']}")
    for lack in here["missing"]:
        out.line(f"missing   {lack['package']}, for {lack['for']}: {lack['try']}")
    return 0

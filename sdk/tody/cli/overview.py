"""tody without arguments: what was found, and the next command to type."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from typing import Any

from . import doctor
from .output import Output


def _next(facts: dict[str, Any]) -> str:
    """The one command that brings this user a step further."""
    for lack in facts["missing"]:
        if lack["package"] == "cv2":
            return str(lack["try"])
    if not facts["models"]:
        return "tody models get centerface"
    usable = [c["source"] for c in facts["cameras"] if not c["problem"]]
    return f"tody detect {facts['models'][0]} {usable[0] if usable else 'CLIP.mp4'} --web :8080"


def run(args: argparse.Namespace, out: Output) -> int:
    facts = doctor.facts()
    step = _next(facts)
    out.data({**facts, "next": step})
    cpu = facts["cpu"]
    out.line(f"tody {facts['tody']} on {cpu['model']}: kernels {cpu['best']} ({', '.join(cpu['features']) or 'no SIMD'})")
    cameras = [f"{c['source']} ({c['name']})" for c in facts["cameras"]]
    out.line(f"cameras: {', '.join(cameras) or 'none'}")
    out.line(f"models: {', '.join(facts['models']) or 'none yet'}")
    out.line(f"next: {step}")
    out.line("all commands: tody --help")
    return 0

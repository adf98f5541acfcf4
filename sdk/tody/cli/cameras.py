"""tody cameras: what can be seen from here."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

from .output import Output, table

NAME = "cameras"
HELP = "list the cameras of this machine"


def arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(args: argparse.Namespace, out: Output) -> int:
    from ..camera.devices import cameras
    from ..camera.fake import SCENES

    found, fakes = cameras(), [f"fake://{scene}" for scene in SCENES]
    out.data({"cameras": [c.as_dict() for c in found], "fakes": fakes})
    if found:
        for line in table(("SOURCE", "CAMERA", ""), [(c.source, c.name, c.problem) for c in found]):
            out.line(line)
    else:
        out.line("no camera is here")
    out.line(f"always there: {', '.join(fakes)}; and any clip, picture, folder, rtsp:// or http:// address")
    return 0

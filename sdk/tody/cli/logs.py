"""tody logs: the text that a device prints."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import math

from .arguments import positive
from .output import Output

NAME = "logs"
HELP = "show the text that a device prints, until Ctrl-C"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", nargs="?", default="serial:auto", help="serial:auto (default), serial:/dev/ttyACM0, ..")
    parser.add_argument("--seconds", type=positive, default=math.inf, metavar="S", help="for so long only")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..flash.device import Device

    with Device(args.address) as device:
        for text in device.logs(args.seconds):
            out.line(text)
            out.data({"text": text})
    return 0

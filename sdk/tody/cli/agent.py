"""tody agent: the program of a device that follows its fleet."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import count, positive
from .output import Output

NAME = "agent"
HELP = "follow a fleet on a device: fetch, test, use and report models"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, metavar="DIR", help="the device's folder (default: /var/lib/tody for root)")
    parser.add_argument("--source", metavar="CAMERA", help="also run the model on this camera, stream or clip")
    parser.add_argument("--stick", type=Path, metavar="DIR", help="also take updates from this folder (tody push --to)")
    parser.add_argument("--once", action="store_true", help="end when there is nothing left to do now")
    parser.add_argument("--poll", type=positive, default=900.0, metavar="S", help="look at least so often, in seconds (900)")
    parser.add_argument("--test-time", type=positive, metavar="S", help="longest self-test of a model, in seconds (180)")
    parser.add_argument("--threads", type=count, metavar="N", help="threads of the models (default: as many as there are CPUs)")
    parser.add_argument("--homeassistant", action="store_true", help="announce the device to Home Assistant")
    for word in ("fleet", "device", "group"):
        parser.add_argument(f"--{word}", metavar="NAME", help=f"the {word} (default: as enrolled)")
    parser.add_argument("--broker", metavar="URL", help="mqtts://HOST, or mqtt://localhost (default: as enrolled)")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.device import agent
    from ..fleet.device import identity as device

    store = args.store or device.default_store()
    who = device.load_device(store, fleet=args.fleet, device=args.device, group=args.group, broker=args.broker)
    words = ("source", "stick", "threads", "homeassistant")
    given = {"poll_s": args.poll, **{word: getattr(args, word) for word in words}}
    if args.test_time:
        given["test_s"] = args.test_time

    def say(text: str) -> None:
        out.line(text)
        out.data({"device": who.device, "says": text})

    say(f"{who.device} of {who.fleet}/{who.group} follows {who.broker}, store {store}")
    action = agent.Agent(who, store, agent.Options(**given), say).run(once=args.once)
    if args.once:
        say(f"nothing left to do: {action}")
    return 0

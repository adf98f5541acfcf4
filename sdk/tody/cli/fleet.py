"""tody fleet: what groups of devices shall run, and how they are."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse

from . import seeing, steering
from .output import Output
from .parts import Part, add_parts

NAME = "fleet"
HELP = "pause, resume and roll back what a group runs, pin a device, compare two models; see how the devices are"


PARTS = {
    "status": Part("how the devices and rollouts are", seeing.status_arguments, seeing.status),
    "watch": Part("the same, again and again", seeing.watch_arguments, seeing.watch),
    "dashboard": Part("the same as a page in a browser", seeing.dashboard_arguments, seeing.dashboard),
    "devices": Part("list the devices that are known; --forget one", steering.devices_arguments, steering.devices),
    "releases": Part("list the models that a group can run", steering.group_argument, steering.releases),
    "pause": Part("no device begins an update from now on", steering.change_arguments, steering.pause),
    "resume": Part("go on with a rollout that was paused", steering.change_arguments, steering.resume),
    "rollback": Part("everybody returns to the model before, at once", steering.change_arguments, steering.rollback),
    "pin": Part("one device runs this release, whatever is pushed", steering.pin_arguments, steering.pin),
    "unpin": Part("a device runs what its group does", steering.unpin_arguments, steering.unpin),
    "split": Part("a share of the devices runs another release, to compare the two", steering.split_arguments, steering.split),
    "shadow": Part("a release runs beside the present one and is only compared", steering.split_arguments, steering.shadow),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_parts(parser, NAME, PARTS)


def run(args: argparse.Namespace, out: Output) -> int:
    return PARTS[args.part].run(args, out)

"""tody push: a model to a group of devices, signed, wave by wave."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import file_size, milliseconds, seconds, share
from .laptop import add_fleet, laptop
from .output import Output, size_text
from .steering import owner, sign_arguments

if TYPE_CHECKING:
    from ..fleet.documents import Desired, Rule
    from ..fleet.laptop.push import Plan
    from ..fleet.view.standing import Standing

NAME = "push"
HELP = "sign a model and send it to a group of devices, which test it and go back by themselves if it does not do well"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .tody file, or a name of the cache (tody models)")
    parser.add_argument("group", metavar="GROUP", help="of devices (tody keys show)")
    waves = parser.add_mutually_exclusive_group()
    waves.add_argument("--canary", type=share, metavar="SHARE", help="so many devices first, such as 5%%, then all others")
    waves.add_argument(
        "--waves", type=_shares, metavar="A,B,..", help="shares of the devices one after the other (1%%,5%%,25%%,100%%)"
    )
    text = "must hold at the end of the window, or the device goes back; such as 'fps>10'; may be given again"
    parser.add_argument("--health", type=_rule, action="append", metavar="RULE", help=text)
    parser.add_argument("--window", type=seconds, metavar="TIME", help="that a model is on trial: 60s, 15m (60s)")
    parser.add_argument("--budget-latency", type=milliseconds, metavar="MS", help="that a run may take on the device itself")
    parser.add_argument("--budget-memory", type=file_size, metavar="SIZE", help="that a run may take on the device, such as 8M")
    text = "devices that trusted this model refuse those below, even signed ones; raise it when an old one is a danger"
    parser.add_argument("--security", type=int, metavar="N", help=text)
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--split", type=share, metavar="SHARE", help="to that share of the devices only, to compare it with the present one"
    )
    part.add_argument(
        "--shadow", type=share, metavar="SHARE", help="beside the present model, on that share of the frames, only compared"
    )
    parser.add_argument("--wait", action="store_true", help="follow the rollout; fails if it halts")
    parser.add_argument("--timeout", type=seconds, default=600.0, metavar="TIME", help="of --wait (10m)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_fleet(parser)
    sign_arguments(parser)


def _shares(text: str) -> tuple[float, ...]:
    values = tuple(share(part) for part in text.split(","))
    if values[-1] != 1 or list(values) != sorted(set(values)):
        raise argparse.ArgumentTypeError(f"{text!r} does not grow to 100%")
    return values


def _rule(text: str) -> Rule:
    from ..fleet.documents import rule

    try:
        return rule(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def run(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError
    from ..fleet.laptop.push import push
    from ..fleet.laptop.release import Limits
    from ..models import find

    if args.wait and (args.to or args.shadow):
        why = "devices report no rollout of it"
        raise UsageError("--wait has nothing to wait for", why, "leave it out, or --to and --shadow")
    limits = Limits(args.budget_latency, args.budget_memory, args.security)
    with owner(args, out) as who:
        plan = push(
            who, find(args.model), args.group, lambda *facts: _change(args, *facts), limits, lambda p: _agree(p, args, out)
        )
    out.line(
        f"published {plan.release.name} as release {plan.release.version} of {args.group}, generation {plan.desired.generation}"
    )
    if args.wait:
        _wait(args, out, plan.desired)
    elif not args.to:
        out.note("next: tody fleet status")
    return 0


def _change(args: argparse.Namespace, before: Desired | None, model: str, devices: Sequence[str]) -> Desired:
    from ..errors import UsageError
    from ..fleet import rollout
    from ..fleet.laptop import steer

    shares = args.waves or ((args.canary, 1.0) if args.canary and args.canary < 1 else None)
    terms = steer.Terms(shares or rollout.SHARES, tuple(args.health) if args.health else None, args.window)
    if not (args.split or args.shadow):
        return steer.roll_out(before, args.group, model, devices, terms)
    if before is None or before.model == model:
        why = "there is no other model that it could be compared with"
        raise UsageError("--split and --shadow compare two models", why, "push the model to everybody first")
    return steer.split(before, model, args.split, devices, terms) if args.split else steer.shadow(before, model, args.shadow)


def _agree(plan: Plan, args: argparse.Namespace, out: Output) -> bool:
    """Say what will be sent, and ask if somebody is there to answer."""
    release, desired = plan.release, plan.desired
    out.data(_facts(plan))
    out.line(f"{release.name}: release {release.version} of {args.group}, {size_text(release.bytes)}, tested here")
    for version, count in sorted(plan.send.items(), reverse=True):
        have = f"devices with release {version}" if version else "devices without any"
        out.line(f"  {have} fetch {size_text(count)} ({count / release.bytes:.1%})")
    first = len(desired.waves[0].watch)
    shares = ", ".join(f"{wave.share:.0%}" for wave in desired.waves)
    known = "1 device is" if plan.devices == 1 else f"{plan.devices} devices are"
    out.line(f"  {known} known; waves up to {shares}; the first has {first} of them")
    if not plan.devices and not args.to:
        out.note("no device is known, so nobody is watched, and whoever there is begins at once (tody enroll)")
    if desired.paused:
        out.note(f"{args.group} is paused: nobody begins before tody fleet resume {args.group}")
    if args.yes or out.as_json or not sys.stdin.isatty():
        return True
    try:
        return input("Push it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _facts(plan: Plan) -> dict[str, Any]:
    release, desired = plan.release, plan.desired
    return {
        "model": release.model,
        "name": release.name,
        "bytes": release.bytes,
        "version": release.version,
        "security": release.security,
        "send": {str(version): count for version, count in plan.send.items()},
        "group": desired.group,
        "generation": desired.generation,
        "devices": plan.devices,
        "waves": [{"share": wave.share, "watched": len(wave.watch)} for wave in desired.waves],
        "paused": desired.paused,
    }


def _wait(args: argparse.Namespace, out: Output, desired: Desired) -> None:
    from ..fleet.laptop.wait import Results, wait
    from ..fleet.rollout import asked_of

    fleet = laptop(args)
    asked = desired.split[0] if args.split and desired.split else desired.model
    devices = [device for device in fleet.devices_of(args.group) if asked_of(desired, device) == asked]

    def say(now: Standing, codes: Any) -> None:
        out.data({"state": now.state, "why": now.why, "codes": now.codes, "devices": len(devices)})
        told = ", ".join(f"{count} {code}" for code, count in now.codes.items()) or "nothing was reported yet"
        out.line(f"  {now.state}: {told}, of {len(devices)}" + (f"; {now.why}" if now.why else ""))

    with fleet.link() as link:
        wait(Results(link, fleet.topics, desired, devices), desired, devices, args.timeout, say)

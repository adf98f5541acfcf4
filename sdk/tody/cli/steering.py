"""The verbs below `tody fleet` that change what a group shall run. Each signs, publishes, and tells the devices to look."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import share
from .laptop import add_passphrase, asker, laptop
from .output import Output, table

if TYPE_CHECKING:
    from ..fleet.documents import Desired
    from ..fleet.laptop.archive import Archive
    from ..fleet.laptop.signing import Owner

    Change = Callable[[Archive, Desired], Desired]


def group_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", nargs="?", metavar="GROUP", help="otherwise the only one")


def change_arguments(parser: argparse.ArgumentParser) -> None:
    group_argument(parser)
    sign_arguments(parser)


def sign_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command takes that signs and publishes."""
    add_passphrase(parser)
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="write a folder, such as a USB stick, and leave the broker alone"
    )


def devices_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--forget", metavar="DEVICE", help="count it no longer; tody enroll DEVICE --revoke also shuts it out")


def pin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", metavar="DEVICE", help="as tody fleet devices lists it")
    parser.add_argument("release", metavar="RELEASE", help="its version, the beginning of its SHA-256, or its file")
    parser.add_argument("--group", metavar="GROUP", help="of a device that is not in the list")
    sign_arguments(parser)


def unpin_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", metavar="DEVICE", help="as tody fleet devices lists it")
    parser.add_argument("--group", metavar="GROUP", help="of a device that is not in the list")
    sign_arguments(parser)


def split_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", metavar="GROUP", help="of devices (tody keys show)")
    parser.add_argument("release", metavar="RELEASE", help="its version, the beginning of its SHA-256, its file; or off")
    parser.add_argument("share", nargs="?", type=share, default=0.5, metavar="SHARE", help="such as 10%% (50%%)")
    sign_arguments(parser)


@contextmanager
def owner(args: argparse.Namespace, out: Output) -> Iterator[Owner]:
    """Who signs, by the arguments of `sign_arguments` and `add_fleet`, with progress on the terminal."""
    from ..fleet.laptop.signing import Owner

    with out.stages() as stages:
        yield Owner(laptop(args), asker(args), getattr(args, "to", None), stages, out.note)


def the_group(args: argparse.Namespace) -> str:
    """The group that is named, or the only one.

    Raises:
        UsageError: none was named, and there are several or none.
    """
    from ..errors import UsageError

    fleet = laptop(args)
    if args.group or len(fleet.groups) == 1:
        return str(args.group or next(iter(fleet.groups)))
    raise UsageError("no group was named", f"the fleet has {', '.join(sorted(fleet.groups)) or 'none'}", "name one of them")


def devices(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError

    fleet = laptop(args)
    if args.forget:
        if args.forget not in fleet.devices:
            raise UsageError(
                f"{args.forget} is not in the list", f"there are {len(fleet.devices)} devices", "tody fleet devices"
            )
        with fleet.locked():
            fleet = laptop(args)
            del fleet.devices[args.forget]
            fleet.save()
    for device, group in sorted(fleet.devices.items()):
        out.data({"device": device, "group": group})
    if not out.as_json:
        for line in table(("device", "group"), sorted(fleet.devices.items())):
            out.line(line)
    out.note(f"{len(fleet.devices)} devices in {len(fleet.groups)} groups; tody fleet status says how they are")
    return 0


def releases(args: argparse.Namespace, out: Output) -> int:
    fleet = laptop(args)
    group = the_group(args)
    archive = fleet.archive
    asked = archive.desired(group)
    rows = []
    for release in reversed(archive.releases(group)):
        role = roles(asked, release.model)
        rows.append((release.version, release.model[:12], release.name, release.bytes, release.security, role))
        facts = {key: getattr(release, key) for key in ("version", "model", "name", "bytes", "security")}
        out.data({"group": group, **facts, "role": role})
    for line in table(("version", "sha-256", "name", "bytes", "security", "runs"), rows):
        out.line(line)
    return 0


def roles(asked: Desired | None, model: str) -> str:
    """What a release is for its group, in words."""
    if asked is None:
        return ""
    said = ["everybody"] * (asked.model == model)
    for word, part in (("split", asked.split), ("shadow", asked.shadow)):
        said += [f"{word} {part[1]:.0%}"] if part and part[0] == model else []
    said += [f"pinned on {device}" for device, pinned in asked.pins.items() if pinned == model]
    return ", ".join(said or ["before"] * (model in asked.history))


def pause(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop import steer

    return _change(
        args, out, the_group(args), lambda archive, before: steer.pause(before), "paused: no device begins an update"
    )


def resume(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop import steer

    return _change(args, out, the_group(args), lambda archive, before: steer.resume(before), "goes on")


def rollback(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop.push import roll_back

    return _change(args, out, the_group(args), roll_back, "goes back")


def pin(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop import steer
    from ..fleet.laptop.push import find_release

    group = _group_of(args)

    def change(archive: Archive, before: Desired) -> Desired:
        return steer.pin(before, args.device, find_release(archive, group, args.release).model)

    return _change(args, out, group, change, f"{args.device} is pinned")


def unpin(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop import steer

    return _change(
        args, out, _group_of(args), lambda archive, before: steer.unpin(before, args.device), f"{args.device} is free"
    )


def split(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop import steer
    from ..fleet.laptop.push import find_release

    devices = laptop(args).devices_of(args.group)

    def change(archive: Archive, before: Desired) -> Desired:
        if args.release == "off":
            return steer.unsplit(before)
        release = find_release(archive, args.group, args.release)
        return steer.split(before, release.model, args.share, devices, steer.Terms())

    return _change(args, out, args.group, change, "split" if args.release != "off" else "not split any more")


def shadow(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop import steer
    from ..fleet.laptop.push import find_release

    def change(archive: Archive, before: Desired) -> Desired:
        if args.release == "off":
            return steer.unshadow(before)
        return steer.shadow(before, find_release(archive, args.group, args.release).model, args.share)

    return _change(args, out, args.group, change, "shadowed" if args.release != "off" else "not shadowed any more")


def _group_of(args: argparse.Namespace) -> str:
    from ..errors import UsageError

    fleet = laptop(args)
    group = args.group or fleet.devices.get(args.device)
    if not group:
        why = f"the list has {len(fleet.devices)} devices, and not this one"
        raise UsageError(f"it is not known what group {args.device} belongs to", why, "name it with --group")
    return str(group)


def _change(args: argparse.Namespace, out: Output, group: str, how: Change, said: str) -> int:
    from ..fleet.laptop.push import change

    with owner(args, out) as who:
        desired = change(who, group, how)
    facts = {key: getattr(desired, key) for key in ("group", "generation", "model", "paused", "pins", "split", "shadow")}
    out.data(facts)
    out.line(f"{group}: {said} (generation {desired.generation}, model {desired.model[:12]})")
    return 0

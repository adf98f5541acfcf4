"""tody keys: who may sign for a fleet. Makes the fleet's folder, its groups and its backup."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .laptop import add_passphrase, asker, laptop
from .output import Output, table
from .parts import Part, add_parts
from .steering import owner

NAME = "keys"
HELP = "make the keys of a fleet and its groups, replace one that is lost or stolen, keep a backup"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_parts(parser, NAME, PARTS)


def run(args: argparse.Namespace, out: Output) -> int:
    return PARTS[args.part].run(args, out)


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fleet", metavar="FLEET", help="its name, such as home or farm-2")
    parser.add_argument(
        "--group", action="append", default=[], metavar="GROUP", help="of devices that run the same model; may be given again"
    )
    parser.add_argument(
        "--broker", default="", metavar="URL", help="mqtts://HOST, or mqtt://localhost (tody broker init knows its own)"
    )
    add_passphrase(parser)


def _group_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", metavar="GROUP", help="its name, such as doors")
    add_passphrase(parser)


def _rotate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("role", metavar="ROLE", help="root-1, root-2, root-3, targets, online, or a group")
    add_passphrase(parser)
    text = "write a folder, such as a USB stick, and leave the broker alone"
    parser.add_argument("--to", type=Path, metavar="DIR", help=text)


def _file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="of the backup, such as home.tar")


def _broker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="mqtts://HOST, or mqtt://localhost")


def _keeper_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="to be made")


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def _init(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop.laptop import make

    fleet = make(args.fleet_dir, args.fleet, asker(args), args.group, args.broker)
    out.data({"fleet": fleet.fleet, "folder": str(fleet.folder), "groups": sorted(fleet.groups), "broker": fleet.broker})
    out.line(
        f"{fleet.folder}: the fleet {fleet.fleet}" + (f" with the groups {', '.join(fleet.groups)}" if fleet.groups else "")
    )
    out.line(
        "Copy keys/root-1.pem and keys/root-2.pem onto two USB sticks, keep them in two places, and remove all three root keys"
    )
    out.line(
        "from the laptop: they are needed only to replace another key. Nobody can help if two of them and the laptop are lost."
    )
    where = f" --fleet-dir {shlex.quote(str(args.fleet_dir))}" if args.fleet_dir else ""
    out.note(f"next: tody keys backup {fleet.fleet}.tar{where}, then tody broker init{where}")
    return 0


def _add(args: argparse.Namespace, out: Output) -> int:
    with owner(args, out) as who, who.signing_here() as repository:
        repository.add_group(args.group)
        who.laptop.groups[args.group] = {}
        who.laptop.save()
    out.data({"fleet": who.laptop.fleet, "group": args.group})
    out.line(f"the group {args.group} is there; devices hear of it with the next push")
    out.note("next: tody enroll DEVICE --group " + args.group)
    return 0


def _rotate(args: argparse.Namespace, out: Output) -> int:
    with owner(args, out) as who:
        publish = bool(who.laptop.broker or args.to)
        with who.signing() if publish else who.signing_here() as repository:
            keyid = repository.rotate(args.role)
    out.data({"role": args.role, "key": keyid, "published": publish})
    out.line(f"{args.role} has a new key {keyid[:12]}; the old one is void for every device that hears of it")
    out.note("published" if publish else "no broker is known: devices hear of it with the next push")
    return 0


def _show(args: argparse.Namespace, out: Output) -> int:
    fleet = laptop(args)
    rows = [
        (role, threshold, ", ".join(key[:12] for key in keys), until) for role, threshold, keys, until in fleet.archive.roles()
    ]
    here = sorted(path.stem for path in (fleet.folder / "keys").glob("*.pem"))
    facts = [{"role": role, "threshold": n, "keys": keys, "expires": until} for role, n, keys, until in fleet.archive.roles()]
    about = {"fleet": fleet.fleet, "folder": str(fleet.folder), "broker": fleet.broker}
    out.data({**about, "groups": sorted(fleet.groups), "devices": len(fleet.devices), "roles": facts, "here": here})
    out.line(f"fleet {fleet.fleet} in {fleet.folder}, broker {fleet.broker or 'not known'}, {len(fleet.devices)} devices")
    for line in table(("role", "must sign", "keys", "valid until"), rows):
        out.line(line)
    out.line(f"keys here: {', '.join(here) or 'none'}")
    return 0


def _broker(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.address import Address

    Address.check(args.url)
    fleet = laptop(args)
    with fleet.locked():
        fleet = laptop(args)
        fleet.broker = args.url
        fleet.save()
    out.data({"fleet": fleet.fleet, "broker": fleet.broker})
    out.line(f"the broker of {fleet.fleet} is {fleet.broker}")
    return 0


def _backup(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop.backup import backup

    fleet = laptop(args)
    with fleet.locked():
        keys = backup(fleet, args.file)
    out.data({"fleet": fleet.fleet, "file": str(args.file), "keys": keys})
    out.line(f"{args.file}: the fleet {fleet.fleet} with the keys {', '.join(keys)}, which only the passphrase opens")
    return 0


def _restore(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop.backup import restore

    fleet = restore(args.file, args.fleet_dir)
    out.data({"fleet": fleet.fleet, "folder": str(fleet.folder), "groups": sorted(fleet.groups), "devices": len(fleet.devices)})
    out.line(f"{fleet.folder}: the fleet {fleet.fleet}; what was signed since comes from the broker with the next push")
    return 0


def _keeper(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.laptop.backup import make_keeper

    fleet = laptop(args)
    make_keeper(fleet, args.folder)
    out.data({"fleet": fleet.fleet, "folder": str(args.folder)})
    out.line(f"{args.folder}: bring it to the broker's machine")
    out.note(f"run there: tody keeper --fleet-dir {shlex.quote(str(args.folder))}")
    if fleet.broker.startswith("mqtts://"):
        out.note(f"it lacks its certificate: tody enroll keeper --to {shlex.quote(str(args.folder / 'id'))}")
    return 0


PARTS = {
    "init": Part("make a fleet: its folder, and the keys that sign for it", _init_arguments, _init),
    "add": Part("make a group of devices, with a key of its own", _group_arguments, _add),
    "rotate": Part("replace a key that is lost or stolen; the old one is void", _rotate_arguments, _rotate),
    "show": Part("say which keys there are, and until when they are valid", _show_arguments, _show),
    "broker": Part("say where the fleet's broker is", _broker_arguments, _broker),
    "backup": Part("write the whole fleet into one file, keys encrypted", _file_arguments, _backup),
    "restore": Part("make the fleet's folder from a backup, on another laptop", _file_arguments, _restore),
    "keeper": Part("make the folder of a keeper, which has the online key alone", _keeper_arguments, _keeper),
}

"""tody enroll: take a device into a fleet, give a service its identity, or make the certificates of a device void."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from .arguments import count
from .laptop import add_fleet, add_passphrase, asker, laptop
from .output import Output

NAME = "enroll"
HELP = "take a device into a fleet: --request and --accept on the device, --sign on the laptop; or --revoke one"


def arguments(parser: argparse.ArgumentParser) -> None:
    names = "a device; or laptop, keeper, homeassistant, telegraf with --to"
    parser.add_argument("device", nargs="?", help=names)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--request", action="store_true", help="device: make a key that stays here, and print a request to sign")
    what.add_argument("--sign", type=Path, metavar="FILE", help="laptop: sign a device's request, and print its enrolment")
    what.add_argument("--accept", type=Path, metavar="FILE", help="device: install an enrolment")
    what.add_argument("--revoke", action="store_true", help="laptop: make all certificates of a device void, and throw it off")
    what.add_argument("--to", type=Path, metavar="DIR", help="laptop: put a service's identity, with a new key, into a folder")
    parser.add_argument("--group", help="of the device; otherwise the only one there is")
    parser.add_argument("--days", type=count, default=730, help="that the certificate holds (730)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the request or enrolment there")
    parser.add_argument("--store", type=Path, metavar="DIR", help="the device's folder (/var/lib/tody, or ~/.local/share/tody)")
    add_fleet(parser)
    add_passphrase(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError

    if args.accept:
        return _accept(args, out)
    if not args.device:
        raise UsageError("no device was named", "its name is in its certificate", "tody enroll DEVICE --help")
    if args.request:
        return _request(args, out)
    if args.sign:
        return _sign(args, out)
    if args.revoke:
        return _revoke(args, out)
    return _service(args, out) if args.to else _local(args, out)


def _request(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.enroll import request

    _put(args, out, request(_store(args), args.device), f"tody enroll {args.device} --sign FILE on the laptop")
    return 0


def _sign(args: argparse.Namespace, out: Output) -> int:
    content = _admitted(args, args.sign.read_bytes())
    _put(args, out, content, "tody enroll --accept FILE on the device; carry it so that nobody can change it")
    return 0


def _accept(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.enroll import accept

    accept(_store(args), args.accept.read_bytes(), args.device)
    return _enrolled(args, out)


def _local(args: argparse.Namespace, out: Output) -> int:
    """Laptop and device are one machine: all three steps."""
    from ..errors import UsageError
    from ..fleet.enroll import accept, request

    if not args.store:
        why = "without --sign, the device is made on this machine, in a folder of its own"
        raise UsageError("no folder was named for the device", why, "--store DIR; for another machine: --request there")
    secure = not laptop(args).broker.startswith("mqtt://")
    asked = request(args.store, args.device) if secure else b""
    accept(args.store, _admitted(args, asked))
    return _enrolled(args, out)


def _enrolled(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.device.identity import load_device

    store = _store(args)
    who = load_device(store)
    out.data({**vars(who), "store": str(store)})
    out.line(f"{who.device} belongs to group {who.group} of fleet {who.fleet}, and its broker is {who.broker}")
    out.note("next: tody agent" + (f" --store {shlex.quote(str(store))}" if args.store else ""))
    return 0


def _admitted(args: argparse.Namespace, asked: bytes) -> bytes:
    from ..errors import UsageError
    from ..fleet.broker.certificates import Authority
    from ..fleet.enroll import admit

    fleet = laptop(args)
    group = args.group or fleet.devices.get(args.device) or (next(iter(fleet.groups)) if len(fleet.groups) == 1 else "")
    if not group:
        why = f"the fleet {fleet.fleet} has {', '.join(sorted(fleet.groups)) or 'no groups'}"
        raise UsageError(f"no group was named for {args.device}", why, "--group GROUP")
    with fleet.locked():
        authority, root = Authority(fleet.authority, asker(args)), fleet.repository(asker(args)).root
        return admit(fleet, authority, root, args.device, group, asked, args.days).encode()


def _revoke(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.broker.revoke import revoke

    fleet = laptop(args)
    with fleet.locked():
        count, told, left = revoke(fleet, asker(args), args.device)
    out.data({"device": args.device, "certificates": count, "broker_told": told, "left_to_do": left})
    out.line(f"{args.device}: {count} certificates are void" + (", and the broker knows" if told else ""))
    if left:
        out.note(f"still to do: {left}")
    return 0


def _service(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError
    from ..fleet.broker.broker import issue_identity
    from ..fleet.broker.certificates import Authority
    from ..fleet.enroll import SERVICES

    if args.device not in SERVICES:
        why = f"a device makes its key itself; services are {', '.join(SERVICES)}"
        raise UsageError(f"{args.device} is no service", why, f"tody enroll {args.device} --request on the device")
    fleet = laptop(args)
    with fleet.locked():
        issue_identity(Authority(fleet.authority, asker(args)), args.device, args.to)
    out.data({"service": args.device, "folder": str(args.to), "broker": fleet.broker})
    out.line(f"{args.to}: ca.crt, tody.crt and tody.key of {args.device} for {fleet.broker}")
    return 0


def _store(args: argparse.Namespace) -> Path:
    from ..fleet.device.identity import default_store

    store: Path = args.store or default_store()
    return store


def _put(args: argparse.Namespace, out: Output, content: bytes, hint: str) -> None:
    """Into the file, whole or not at all, or onto standard output."""
    from ..fleet.disk import FolderDisk, put

    if args.output:
        put(FolderDisk(args.output.parent), args.output.name, [content])
    out.data({"device": args.device, "file": str(args.output) if args.output else None, "content": content.decode()})
    out.line(str(args.output) if args.output else content.decode().rstrip())
    out.note(f"next: {hint.replace('FILE', shlex.quote(str(args.output)) if args.output else 'FILE')}")

"""tody broker: configure a safe one, run it, and find out what a broker is good for."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import count
from .laptop import add_fleet, add_passphrase, asker, laptop
from .output import Output, table
from .parts import add_json

if TYPE_CHECKING:
    from ..fleet.broker.attacks import Party
    from ..fleet.broker.conformance import Bench, Finding

NAME = "broker"
HELP = "configure a safe MQTT broker (init), run it (run), test any (check), list certificates (show)"


def arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True, help="tody broker PART --help says more")
    _init_arguments(parts.add_parser("init", help="write the configuration of a mosquitto that only the fleet may use"))
    _run_arguments(parts.add_parser("run", help="run it; --demo runs one without TLS, for this machine alone"))
    shown = parts.add_parser("show", help="list the certificates that were issued, and until when they hold")
    _shared(shown)
    _check_arguments(
        parts.add_parser("check", help="try what a broker must be able to do, and attack it with stolen certificates")
    )


def _init_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="of the broker; otherwise broker/ in the fleet's folder"
    )
    text = "name or address by which devices reach the broker; may be given again, the first is what devices are told"
    parser.add_argument("--host", action="append", metavar="NAME", help=text + "; otherwise this machine's name")
    parser.add_argument(
        "--port", type=count, help="for devices (8883); the dashboard's are the next one, and 9001 for this machine"
    )
    parser.add_argument("--local-port", type=count, help="of the dashboard's listener for this machine alone (9001)")
    text = "who may look at the fleet: dashboard, or dashboard-NAME; may be given again"
    parser.add_argument("--dashboard", action="append", metavar="NAME", help=text)
    text = "the plugin persist-sqlite of mosquitto 2.1, if the broker's machine has it"
    parser.add_argument("--sqlite", type=Path, metavar="FILE", help=text)
    parser.add_argument("--again", action="store_true", help="write what is there anew: configuration, certificate, passwords")
    _shared(parser)


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="what init has written; otherwise the fleet's")
    parser.add_argument(
        "--demo", action="store_true", help="without TLS and keys, on this machine alone, and forgetting everything"
    )
    parser.add_argument(
        "--listen", default="127.0.0.1", metavar="HOST", help="demo: 127.0.0.1, and nothing beyond this machine"
    )
    parser.add_argument("--port", type=count, default=1883, help="demo: 1883")
    _shared(parser)


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url", nargs="?", help="mqtts://HOST or mqtt://localhost; otherwise the fleet's, with clients made for it"
    )
    parser.add_argument("--identity", type=Path, metavar="DIR", help="with a URL: ca.crt, tody.crt and tody.key of a device")
    parser.add_argument("--other", type=Path, metavar="DIR", help="of a second device, which the first one attacks")
    parser.add_argument("--fleet", metavar="NAME", help="with a URL: whose topics are used (check)", default="check")
    _shared(parser)


def _shared(parser: argparse.ArgumentParser) -> None:
    add_fleet(parser)
    add_passphrase(parser)
    add_json(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    return {"init": _init, "run": _run, "check": _check, "show": _show}[args.part](args, out)


def _init(args: argparse.Namespace, out: Output) -> int:
    import socket

    from ..errors import UsageError
    from ..fleet.broker.broker import CONFIGURATION, Setup, init
    from ..fleet.broker.certificates import Authority
    from ..fleet.broker.running import reload

    fleet = laptop(args)
    folder: Path = args.folder or fleet.folder / "broker"
    if (folder / CONFIGURATION).exists() and not args.again:
        why = "clients of the old one would have to be told of the new one"
        raise UsageError(f"{folder} holds a broker already", why, "--again writes it anew; devices keep their certificates")
    hosts = tuple(args.host or [socket.getfqdn()])
    with fleet.locked():
        authority = Authority(fleet.authority, asker(args))
        url = init(fleet, authority, folder, Setup(hosts, _ports(args), tuple(args.dashboard or ["dashboard"]), args.sqlite))
    out.data({"fleet": fleet.fleet, "broker": url, "folder": str(folder), "hosts": hosts})
    out.line(f"{folder}: a broker for the fleet {fleet.fleet}, at {url}")
    if reload(folder):
        out.note("the broker that runs there has read it; for other ports it has to be started anew")
    out.note(f"next: tody broker run {shlex.quote(str(folder))}, here, or on the broker's machine with a copy of the folder")
    return 0


def _ports(args: argparse.Namespace) -> Any:
    from ..fleet.broker.broker import PORTS, Ports

    port = args.port or PORTS["mqtts"]
    return Ports(port, port + 1, args.local_port or PORTS["ws"])


def _run(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.broker import running

    if args.demo:
        with running.demo(args.listen, args.port) as (name, process):
            out.data({"broker": f"mqtt://{args.listen}:{args.port}", "program": name, "demo": True})
            out.line(
                f"demo broker ({name}) on mqtt://{args.listen}:{args.port}: no TLS, no keys, forgets everything; Ctrl-C ends it"
            )
            return _ended(process)
    folder = args.folder or laptop(args).folder / "broker"
    with running.configured(folder) as process:
        out.data({"folder": str(folder), "program": "mosquitto", "demo": False})
        out.line(f"mosquitto runs as {folder} says; Ctrl-C ends it")
        return _ended(process)


def _show(args: argparse.Namespace, out: Output) -> int:
    import time

    from ..fleet.broker.certificates import Authority

    issued = Authority(laptop(args).authority, asker(args)).issued
    rows = []
    for entry in issued:
        days = (entry["until"] - time.time()) / 86400
        state = "void" if entry["revoked"] is not None else "valid" if days > 0 else "expired"
        out.data({**entry, "state": state})
        rows.append((entry["name"], state, f"{days:.0f}", entry["serial"]))
    for line in table(("NAME", "STATE", "DAYS", "SERIAL"), rows):
        out.line(line)
    return 0


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the broker's end, which should come from the user alone."""
    from ..errors import DeviceError

    if code := process.wait():
        raise DeviceError("the broker ended", f"with exit code {code}; it said why above", "is there another one on this port?")
    return 0


def _check(args: argparse.Namespace, out: Output) -> int:
    from tempfile import TemporaryDirectory

    from ..errors import DeviceError, TrustError
    from ..fleet.broker.conformance import BAD, UNTRIED, conformance

    found: list[Finding] = []
    with TemporaryDirectory() as folder:
        bench, party = _parties(args, Path(folder))
        for finding in chain(conformance(bench), _attacks(party, found)):
            found.append(finding)
            out.data(vars(finding))
            out.line(f"{finding.outcome:9}  {finding.name:34}  {finding.detail}".rstrip())
    if not party:
        why = (
            "a second identity is needed: --other"
            if args.identity
            else "it asks nobody who he is; that is for one machine alone"
        )
        out.note(f"attacks were not tried: {why}")
    bad = {finding.kind for finding in found if finding.outcome == BAD}
    untried = sum(finding.outcome == UNTRIED for finding in found)
    out.note(f"{len(found)} checks, {sum(f.outcome == BAD for f in found)} bad, {untried} not tried")
    return TrustError.exit_code if "attack" in bad else DeviceError.exit_code if bad else 0


def _attacks(party: Party | None, found: Sequence[Finding]) -> Iterator[Finding]:
    """The attacks, if they can be tried: not if the thief does not even get in."""
    from ..fleet.broker.attacks import attacks
    from ..fleet.broker.conformance import BAD

    if party and found[0].outcome != BAD:
        yield from attacks(party)


def _parties(args: argparse.Namespace, folder: Path) -> tuple[Bench, Party | None]:
    """Who tries the broker, and who takes part in the attacks, if they can be tried."""
    from ..fleet.address import CERTIFICATE, Address
    from ..fleet.broker.attacks import THIEF, Party, gather
    from ..fleet.broker.certificates import common_name
    from ..fleet.broker.conformance import Bench
    from ..fleet.topics import Topics

    if not args.url:
        fleet = laptop(args)
        with fleet.locked():
            party = gather(fleet, asker(args), folder)
        return party.thief, party
    benches = []
    for identity in filter(None, (args.identity, args.other)):
        address = Address.parse(args.url, identity)
        benches.append(Bench(address, Topics(args.fleet), common_name((identity / CERTIFICATE).read_bytes())))
    if not benches:
        return Bench(Address.parse(args.url), Topics(args.fleet), THIEF), None
    return benches[0], Party(benches[0], benches[1], {}) if len(benches) == 2 else None

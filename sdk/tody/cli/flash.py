"""tody flash: a model onto a device."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .arguments import add_model, positive
from .output import Output, size_text

if TYPE_CHECKING:
    from ..flash.flash import Report

NAME = "flash"
HELP = "bring a model onto a microcontroller or board, test it there, and let it run"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("address", nargs="?", help="serial:/dev/ttyACM0, socket://host:port, smp+udp://host, ssh://user@host")
    parser.add_argument("--port", default="auto", metavar="ADDRESS", help="the same (default auto: the serial port on USB)")
    parser.add_argument("--verify", action="store_true", help="also read checksums of all blocks back")
    parser.add_argument("--no-activate", action="store_true", help="leave it in its slot; what runs now runs on")
    parser.add_argument(
        "--diff", action=argparse.BooleanOptionalAction, default=True, help="send only the parts that the device lacks"
    )
    parser.add_argument(
        "--security", type=int, metavar="N", help="number of this model: the device refuses lower ones once it is confirmed"
    )
    parser.add_argument(
        "--timeout", type=positive, metavar="S", help="seconds until it gives up (default: 300, and 10 times what is usual)"
    )
    parser.add_argument(
        "--file", metavar="PATH", help="into a file of a device that has a file system (Zephyr), and nothing else"
    )
    parser.add_argument("--yes", action="store_true", help="also upload to a device that does not run tody, without any checks")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..models import find

    address = args.address or args.port
    if args.file is not None and (address.startswith("ssh://") or args.security is not None):
        why = "a device with a file system has no security numbers, and ssh:// places models by itself"
        raise UsageError("--file goes neither with --security nor with ssh://", why, "leave one of them out")
    if address.startswith("ssh://"):
        from ..flash.ssh import put

        placed = put(str(find(args.model)), address, activate=not args.no_activate)
        out.data(asdict(placed))
        out.line(
            f"{placed.path} on {placed.host}, sha256 {placed.sha256[:16]}"
            + f", {placed.restarted} restarted" * bool(placed.restarted)
        )
        return 0
    report = _flash(args, "serial:auto" if address == "auto" else address, out)
    out.data(asdict(report))
    out.line(_summary(report))
    return 0


def _flash(args: argparse.Namespace, address: str, out: Output) -> Report:
    from ..flash.device import Device
    from ..flash.flash import steps
    from ..models import find

    options: dict[str, Any] = {"verify": args.verify, "diff": args.diff, "security": args.security, "timeout": args.timeout}
    options |= {"activate": not args.no_activate, "any_device": args.yes, "file": args.file}
    with Device(address, on_text=lambda text: out.note(f"device: {text}")) as device, out.stages() as stages:
        stage = ""
        try:
            for step in steps(device, str(find(args.model)), **options):
                stage = step.stage
                stages(step.stage, step.done, step.total)
                if step.report:
                    return step.report
        except KeyboardInterrupt:
            if stage == "upload":
                out.note("stopped; what runs there runs on, and the next tody flash goes on where this one was cut off")
            raise
    raise AssertionError("the last step has the report")


def _summary(r: Report) -> str:
    where = f"{r.model} on {r.board or 'a device without tody'}" + (f", slot {r.slot}" if r.slot is not None else "")
    if r.already:
        how = "was there already"
    else:
        parts = [f"{size_text(r.file_bytes)} in {r.seconds:.1f} s, {size_text(r.sent)} on the wire"]
        parts += [f"{size_text(r.copied)} copied there"] if r.copied else []
        parts += [f"resumed at {size_text(r.resumed)}"] if r.resumed else []
        parts += [f"{r.again} messages repeated"] if r.again else []
        how = ", ".join(parts)
    test = "" if r.error is None else ", self-test exact" if r.error == 0 else f", self-test within {r.error:.1g}"
    return f"{where}: {how}; {r.state}{test}"

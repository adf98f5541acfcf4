"""tody devices: what is plugged in, and what runs there."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .output import Output, size_text, table

NAME = "devices"
HELP = "list the devices that are plugged in, and the models on them"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", nargs="*", help="look here: socket://.., smp+udp://.. (default: all serial ports on USB)")


def _ask(address: str) -> dict[str, Any]:
    """What is known of a device, or why nothing is."""
    from ..errors import TodyError
    from ..flash.device import Device

    try:
        with Device(address) as device:
            slots = [{**s.as_dict(), "name": ""} for s in device.slots()]
            if not device.runs_tody:
                return {"board": "", "runtime": "", "slots": slots, "problem": "speaks SMP, does not run tody"}
            info = device.info
            for slot in slots:
                slot["name"] = device.model_name(slot["index"]) if slot["sha256"] else ""
            facts = {"cpu": info.cpu, "kernels": info.kernels, "slot_bytes": info.slot_bytes, "arena_bytes": info.arena_bytes}
            return {"board": info.board, "runtime": info.version, **facts, "slots": slots, "problem": ""}
    except TodyError as e:
        return {"board": "", "runtime": "", "slots": [], "problem": e.why or e.what}


def slot_text(slot: dict[str, Any]) -> str:
    """A slot in a few words: kws confirmed 40 KiB af5a6a67, running."""
    if slot["state"] in ("empty", "loading"):
        return str(slot["state"])
    words = [slot["name"], slot["state"], size_text(slot["file_bytes"]) if slot["file_bytes"] else "", slot["sha256"][:8]]
    return " ".join(filter(None, words)) + (", running" if slot["running"] else "")


def run(args: argparse.Namespace, out: Output) -> int:
    from ..flash.address import ports

    found = [(a, "") for a in args.address] or [
        (f"serial:{p.path}", f"{p.vid:04x}:{p.pid:04x} {p.name}".rstrip()) for p in ports()
    ]
    with ThreadPoolExecutor(max(1, len(found))) as pool:  # one that is silent shall not keep the others waiting
        answers = list(pool.map(_ask, [address for address, _ in found]))
    devices = [{"address": address, "usb": usb, **answer} for (address, usb), answer in zip(found, answers)]
    out.data({"devices": devices})
    if not devices:
        out.line("no device is plugged in; fake://board is always there, to try things out")
    rows = []
    for d in devices:
        slots = "; ".join([*map(slot_text, d["slots"]), *filter(None, [d["problem"]])])
        rows.append((d["address"], d["usb"], d["board"], d["runtime"], slots))
    for line in table(("ADDRESS", "USB", "BOARD", "TODY", "SLOTS"), rows) if rows else ():
        out.line(line)
    return 0

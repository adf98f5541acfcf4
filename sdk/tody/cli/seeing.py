"""The verbs below `tody fleet` that show how the devices are: status, watch and dashboard. They change nothing."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import count, seconds
from .laptop import laptop
from .output import Output, table

if TYPE_CHECKING:
    from ..fleet.view.dashboard import Settings
    from ..fleet.view.overview import Device, Overview
    from ..fleet.view.standing import Standing

MOST = 40  # devices that are listed if not all were asked for: those that need somebody first
BAR = 24  # characters
MARKS = {"ok": "█", "failed": "✗", "refused": "!", "trying": "▒", "waiting": "·"}
HEADER = ("device", "state", "group", "model", "update", "fps", "p95 ms", "°C", "drift", "heard")


def status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help=f"list every device, not {MOST} at most")


def watch_arguments(parser: argparse.ArgumentParser) -> None:
    status_arguments(parser)
    parser.add_argument("--every", type=seconds, default=2.0, metavar="TIME", help="between two looks (2s)")
    parser.add_argument("--for", type=seconds, dest="span", metavar="TIME", help="end after so long; otherwise Ctrl-C ends it")


def dashboard_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=count, default=8090, help="of this machine where the page is (8090)")
    text = "write the page to a file instead; whoever has it can look, and his browser must trust the broker's certificate"
    parser.add_argument("--out", type=Path, metavar="FILE", help=text)
    text = "with --out: of the broker's WebSockets, if tody broker init did not make it: wss://HOST:8884, ws://127.0.0.1:9001"
    parser.add_argument("--url", help=text)
    text = "with --out: whose password; otherwise the first of tody broker init"
    parser.add_argument("--user", metavar="NAME", help=text)


def status(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.view.gather import Gatherer, overview_of, viewer

    fleet = laptop(args)
    overview = overview_of(fleet)
    with viewer(fleet) as link, out.stages() as stages:
        Gatherer(overview, link).begin(lambda done, total: stages("reading", done, total))
    _tell(overview, None if args.all else MOST, out)
    return 0


def watch(args: argparse.Namespace, out: Output) -> int:
    from ..fleet.view.gather import Gatherer, overview_of, refresh, viewer

    fleet = laptop(args)
    overview, signed = overview_of(fleet), b""
    with viewer(fleet) as link:
        gatherer = Gatherer(overview, link)
        gatherer.begin()
        end = time.monotonic() + args.span if args.span else None
        while True:
            out.clear()
            if not link.is_connected:
                out.line(f"no connection to {fleet.broker}: this is how it was")
            _tell(overview, None if args.all else _room(overview), out)
            if end is not None and time.monotonic() >= end:
                return 0
            time.sleep(args.every)
            signed = refresh(overview, fleet, signed)
            gatherer.take()


def _room(overview: Overview) -> int:
    """Devices, and alerts, that a terminal has lines for."""
    rollouts = sum(len(_rollout(overview, standing)) for standing in overview.standings())
    return max(3, min(MOST, (shutil.get_terminal_size().lines - rollouts - 7) // 2))


def _tell(overview: Overview, most: int | None, out: Output) -> None:
    """Print all there is, but of devices and of alerts at most so many."""
    now = time.time()
    out.data(overview.as_dict(now))
    if out.as_json:
        return
    online = sum(device.online is True for device in overview.devices.values())
    out.line(f"{overview.topics.fleet}: {online} of {len(overview.devices)} devices are connected")
    for standing in overview.standings():
        for line in _rollout(overview, standing):
            out.line(line)
    alerts = overview.alerts(now)
    troubled = {alert.about for alert in alerts}
    devices = sorted(overview.devices.values(), key=lambda device: (device.name not in troubled, device.name))
    shown = devices[:most]
    out.line()
    for line in table(HEADER, [_row(overview, device, now) for device in shown]):
        out.line(line)
    if len(shown) < len(devices):
        out.line(f"... and {len(devices) - len(shown)} more devices: --all lists them")
    if alerts:
        out.line()
    for alert in alerts[:most]:
        out.line(f"{alert.kind}: {alert.about}: {alert.text}")
    if most is not None and len(alerts) > most:
        out.line(f"... and {len(alerts) - most} more alerts")


def _rollout(overview: Overview, standing: Standing) -> list[str]:
    release = overview.releases.get(standing.model)
    name = f"{release.name} v{release.version}" if release else standing.model[:12]
    why = f": {standing.why}" if standing.why else ""
    lines = ["", f"{standing.group}: {name}, generation {standing.generation}, {standing.state}{why}"]
    for i, wave in enumerate(standing.waves):
        counts = {kind: getattr(wave, kind) for kind in MARKS}
        told = ", ".join(f"{many} {kind}" for kind, many in counts.items() if many) or "no devices"
        lines.append(f"  wave {i + 1}  to {wave.share:>4.0%}  {_bar(list(counts.values()))}  {told}")
    return lines


def _bar(counts: Sequence[int]) -> str:
    """A bar of `BAR` characters; what is there at all has one of them at least."""
    total = sum(counts)
    if not total:
        return " " * BAR
    sizes = [max(1, round(BAR * many / total)) if many else 0 for many in counts]
    sizes[sizes.index(max(sizes))] += BAR - sum(sizes)
    return "".join(mark * size for mark, size in zip(MARKS.values(), sizes, strict=True))


def _row(overview: Overview, device: Device, now: float) -> tuple[str, ...]:
    metrics = device.metrics
    drifts = [value for key, value in metrics.items() if key.endswith("drift")]
    numbers = [metrics.get(key) for key in ("fps", "latency_p95_ms", "temperature_c")] + [max(drifts, default=None)]
    shown = ["-" if value is None else f"{value:.3g}" for value in numbers]
    state = {True: "online", False: "offline", None: "unknown"}[device.online]
    code = overview.result(device) or device.code or "-"
    return (device.name, state, device.group or "-", overview.title(device), code, *shown, _ago(device.heard, now))


def _ago(then: float | None, now: float) -> str:
    if then is None:
        return "never"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if now - then >= size:
            return f"{(now - then) / size:.0f} {unit} ago"
    return f"{max(0.0, now - then):.0f} s ago"


def dashboard(args: argparse.Namespace, out: Output) -> int:
    from ..errors import UsageError
    from ..fleet.view.dashboard import direct, served, through

    if not args.out and (args.url or args.user):
        why = "the page's server speaks to the fleet's broker as the laptop does, without WebSockets and passwords"
        raise UsageError("--url and --user are for a page in a file", why, "leave them out, or add --out FILE")
    fleet = laptop(args)
    if args.out:
        return _write(direct(fleet, args.url, args.user), args.out, out)
    settings, broker = through(fleet)
    with served(settings, broker, args.port) as address:
        out.data({"fleet": fleet.fleet, "url": address})
        out.line(address)
        out.note("the page only reads, and only this machine can open it; Ctrl-C ends it")
        while True:
            time.sleep(3600)


def _write(settings: Settings, file: Path, out: Output) -> int:
    from ..fleet.disk import FolderDisk, put
    from ..fleet.view.dashboard import page

    put(FolderDisk(file.parent), file.name, [page(settings).encode()])
    out.data({"fleet": settings.fleet, "file": str(file), "broker": settings.url})
    out.line(f"{file}: speaks to {settings.url}")
    if settings.password:
        out.note("it holds a password that can read what the fleet's devices say")
    return 0

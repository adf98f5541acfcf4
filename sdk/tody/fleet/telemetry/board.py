"""How the machine fares: temperature, throttling and memory, read from the files in which Linux tells them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")
# bits of a Raspberry Pi's get_throttled that say "now": voltage too low, frequency capped, throttled, too hot
THROTTLED_NOW = 0xF


def temperature(root: Path = ROOT) -> float | None:
    """Of the hottest thermal zone, in degrees Celsius; None if there is none."""
    found = [_number(path / "temp") for path in (root / "sys/class/thermal").glob("thermal_zone*")]
    sound = [value / 1000 for value in found if value is not None and -50_000 < value < 200_000]
    return round(max(sound), 1) if sound else None


def throttled(root: Path = ROOT) -> int | None:
    """1 if the processor is slowed down now, for heat or for lack of power; None if nobody says.

    A Raspberry Pi says it in get_throttled. Elsewhere a cooling device that belongs to a processor and is at work says it.
    """
    for path in (root / "sys/devices/platform/soc").glob("*/get_throttled"):
        value = _number(path, 16)
        if value is not None:
            return int(value & THROTTLED_NOW != 0)
    coolers = [path for path in (root / "sys/class/thermal").glob("cooling_device*") if _is_of_processor(path)]
    states = [state for path in coolers if (state := _number(path / "cur_state")) is not None]
    return int(any(states)) if states else None


def _is_of_processor(path: Path) -> bool:
    kind = _text(path / "type").lower()
    return "cpu" in kind or kind == "processor"


def memory(root: Path = ROOT) -> tuple[int | None, int | None]:
    """Bytes that are resident of this process, and bytes that are free on the machine; None if nobody says."""
    resident = None
    with suppress(IndexError, ValueError):
        resident = int(_text(root / "proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            with suppress(IndexError, ValueError):
                return resident, int(line.split()[1]) * 1024
    return resident, None


def _number(path: Path, base: int = 10) -> int | None:
    with suppress(ValueError):
        return int(_text(path), base)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""

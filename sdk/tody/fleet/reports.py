"""What a device tells of its updates: the payloads of its presence, its report and its results. No input or output."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

CODES = (
    "ok", "testing", "trial",
    "failed-test", "failed-latency", "failed-memory", "failed-health", "failed-crash",
    "refused-signature", "refused-expired", "refused-rollback", "refused-space", "refused-needs",
)  # fmt: skip
MOST_BYTES = 4096  # of a result that somebody else has written
MOST_WHY = 300


@dataclass(frozen=True)
class Report:
    """Where a device stands. Retained below `up/report`.

    Attributes:
        time: in seconds since 1970.
        model: SHA-256 of the model that it runs now, None before the first; `version`, `name`: of its release, if known.
        trial: whether that model still has to prove itself.
        previous: the model that it would go back to.
        asked: the model that it shall run; `generation`: of the desired state that says so, `observed`: the highest one seen.
        code: how far it came with `asked` (`CODES`), or why it does not follow; "" before it tried.
        why: more of that, for people.
        action: what it did last (`tody.fleet.device.update`).
        tody: version of the software.
        shadow: what a candidate beside the model was measured to do (shadow.py).
    """

    device: str
    group: str
    time: int = 0
    model: str | None = None
    version: int | None = None
    name: str = ""
    trial: bool = False
    previous: str | None = None
    asked: str | None = None
    generation: int = 0
    observed: int = 0
    code: str = ""
    why: str = ""
    action: str = ""
    tody: str = ""
    shadow: dict[str, Any] | None = None

    def encode(self) -> bytes:
        return _json(asdict(replace(self, why=self.why[:MOST_WHY])))


def presence(online: bool, time: int) -> bytes:
    """Retained below `up/online`; the one that says offline is also the last will, and then `time` is when it came."""
    return _json({"online": online, "time": time})


def result(code: str, time: int, generation: int) -> bytes:
    """How far a device came with a release. Retained below `ro/<release>/<device>`, where others read it (rollout.py)."""
    return _json({"code": code, "time": time, "generation": generation})


def result_code(payload: bytes | None, begun: int = 0) -> str | None:
    """The code in a result that another device has written; None if there is none, or it is not sound.

    Args:
        begun: the generation in which the rollout began: a result of an earlier one does not count.
    """
    if not payload or len(payload) > MOST_BYTES:
        return None
    try:
        facts = json.loads(payload)
        code, generation = facts["code"], facts["generation"]
        return code if code in CODES and generation >= begun else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

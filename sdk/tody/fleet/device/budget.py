"""The self-test of a model on the device itself, in a process of its own: whatever it does, the running model goes on."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..documents import Release

TIMEOUT = 180.0  # seconds until a test that does not end counts as a crash
ROOT = str(Path(__file__).resolve().parents[3])


@dataclass(frozen=True)
class Verdict:
    """What a self-test said.

    Attributes:
        code: "ok", failed-test, failed-latency, failed-memory or failed-crash.
        why: in words.
        latency_ms: median of one inference, None if it did not come to that.
        memory_bytes: by which the process grew for it; None as before.
    """

    code: str
    why: str = ""
    latency_ms: float | None = None
    memory_bytes: int | None = None


def examine(path: Path, release: Release | None = None, timeout: float = TIMEOUT, threads: int | None = None) -> Verdict:
    """Test a model here: golden outputs, then what it takes against the release's budget.

    Raises:
        OSError: no process can be started now; that says nothing about the model.
    """
    order = {"path": str(path), "threads": threads, "alarm": int(timeout) + 10}
    command = [sys.executable, "-m", "tody.fleet.device.budget_worker", json.dumps(order)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, env=environment())
    except subprocess.TimeoutExpired:
        return Verdict("failed-crash", f"the self-test did not end within {timeout:g} s")
    return judge(done.returncode, done.stdout, release)


def judge(status: int, said: bytes, release: Release | None) -> Verdict:
    """What the exit status and the output of a test come to."""
    try:
        facts = json.loads(said) if status == 0 else {}
    except ValueError:
        facts = {}
    if "code" not in facts:
        return Verdict("failed-crash", f"the self-test ended with {status}" if status >= 0 else f"signal {-status} ended it")
    verdict = Verdict(**facts)
    return verdict if verdict.code != "ok" or release is None else _within_budget(verdict, release)


def _within_budget(verdict: Verdict, release: Release) -> Verdict:
    facts: dict[str, Any] = vars(verdict)
    if release.latency_ms is not None and (verdict.latency_ms or 0) > release.latency_ms:
        why = f"an inference takes {verdict.latency_ms:.1f} ms here, {release.latency_ms:g} ms are allowed"
        return Verdict(**{**facts, "code": "failed-latency", "why": why})
    if release.memory_bytes is not None and (verdict.memory_bytes or 0) > release.memory_bytes:
        why = f"it takes {verdict.memory_bytes} bytes of memory here, {release.memory_bytes} are allowed"
        return Verdict(**{**facts, "code": "failed-memory", "why": why})
    return verdict


def environment() -> dict[str, str]:
    """For a Python process that finds this very package."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH", "")]))}

"""Run tody's commands and show them as one would type them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any


class Shell:
    """Where the commands run.

    Args:
        here: what the environment has besides.
        look: where to look when something goes wrong.
    """

    def __init__(self, here: dict[str, str], look: str) -> None:
        self._environment, self._look = {**os.environ, **here}, look

    def run(self, *words: str) -> int:
        """Show a command, run it, return its exit code."""
        print(f"\n$ tody {shlex.join(words)}", flush=True)
        return subprocess.run(_command(words), env=self._environment, check=False).returncode

    def must(self, *words: str) -> None:
        if code := self.run(*words):
            raise SystemExit(f"that should have worked, and ended with {code}; more is in {self._look}")

    def facts(self, *words: str) -> Any:
        """What a command prints for other programs."""
        print(f"\n$ tody --json {shlex.join(words)}", flush=True)
        done = subprocess.run(_command(("--json", *words)), env=self._environment, capture_output=True, check=True)
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def beside(self, *words: str, log: IO[str]) -> Iterator[None]:
        """A program that runs until the context is left."""
        print(f"\n$ tody {shlex.join(words)} &", flush=True)
        process = subprocess.Popen(_command(words), env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _command(words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "tody", *words]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

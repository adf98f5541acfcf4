"""Commands that are ended from outside: by a signal, or by nobody reading on."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE


def start(*arguments: str) -> subprocess.Popen[str]:
    """A tody that takes SIGINT even if these tests run in the background, where shells let it be ignored."""
    command = [sys.executable, "-m", "tody", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")])
def test_a_signal_ends_it_and_what_was_saved_is_whole(door: Path, tmp_path: Path, number: int, code: int, said: str) -> None:
    cv2 = pytest.importorskip("cv2")
    clip = tmp_path / "out.avi"
    process = start("detect", str(door), "fake://door?frames=0&live=1&size=64x48", "--save", str(clip))
    assert process.stdout
    while not re.match(r" *[1-9]\d* s ", process.stdout.readline()):  # a second, and on a slow machine not each has a line
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code and err == said
    assert "median" in out
    assert cv2.VideoCapture(str(clip)).read()[0]


@pytest.mark.parametrize("module", ["tody.cli", "tody.cli.output", "tody._runtime"])
@pytest.mark.parametrize("arguments", [["--version"], ["--version", "--json"]])
def test_an_interrupt_while_it_is_still_being_imported(module: str, arguments: list[str]) -> None:
    code = f"""
import runpy, sys

class Interrupt:
    def find_spec(name, path=None, target=None):
        if name == "{module}":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt)
sys.argv[1:] = {arguments}
runpy.run_module("tody", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr == ("" if "--json" in arguments else "interrupted\n")


def test_broken_pipe_is_quiet(door: Path) -> None:
    process = start("detect", str(door), "fake://door?frames=0&size=64x48", "--json")
    assert process.stdout and process.stderr
    json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(timeout=PATIENCE) == 0
    assert process.stderr.read() == ""
    process.stderr.close()

"""Run a broker: mosquitto as a folder configures it, or one for this machine alone to try things with."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ...errors import UsageError
from ..address import is_local
from .broker import CONFIGURATION, MOST_PACKET, MOST_PAYLOAD
from .exposure import faults

PID = "mosquitto.pid"
_INSTALL = "sudo apt install mosquitto; or tody broker run --demo, with pip install iotcore"
_MOSQUITTO = """listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
max_packet_size {packet}
"""
_IOTCORE = "import sys, iotcore; iotcore.Broker(config_path=sys.argv[1]).run_forever()"
_RUMQTTD = """id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {payload}
max_inflight_count = 100
dynamic_filters = true
"""


def program() -> str | None:
    """Where mosquitto is: Debian has it where only root looks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(("/usr/sbin", "/usr/local/sbin")))


@contextlib.contextmanager
def configured(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """mosquitto as the folder says, until the context is left.

    Raises:
        UsageError: the folder holds no configuration, or one that would let strangers in; mosquitto is not installed.
    """
    path = folder / CONFIGURATION
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError) as e:
        hint = "tody broker init makes it; tody broker run --demo runs a broker for this machine alone"
        raise UsageError(f"{folder} holds no broker", f"it has no {CONFIGURATION}", hint) from e
    if found := faults(text):
        raise UsageError(f"{path} would let strangers in", "; ".join(found), "tody broker init --again writes it anew")
    command = program()
    if not command:
        raise UsageError("mosquitto is not installed", "without it, only a demo broker can be run", _INSTALL)
    with _running([command, "-c", CONFIGURATION], folder) as process:
        yield process


@contextlib.contextmanager
def demo(host: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A broker without TLS and without a memory, for this machine alone: mosquitto, or else iotcore. Gives its name, too.

    Raises:
        UsageError: the host is not this machine, or neither program is there.
    """
    if not is_local(host):
        why = "it asks nobody who he is, and everybody on the network could come in"
        raise UsageError(f"a demo broker does not listen on {host}", why, "tody broker init makes a safe one")
    host = "127.0.0.1" if host == "localhost" else host
    command = program()
    if not command and not find_spec("iotcore"):
        raise UsageError("there is no broker on this machine", "neither mosquitto nor iotcore is installed", _INSTALL)
    with tempfile.TemporaryDirectory(prefix="tody-broker-") as folder:
        file = Path(folder, "mosquitto.conf" if command else "iotcore.toml")  # iotcore goes by the ending
        if command:
            text = _MOSQUITTO.format(host=host, port=port, packet=MOST_PACKET)
            arguments = [command, "-c", str(file)]
        else:
            text = _RUMQTTD.format(host=f"[{host}]" if ":" in host else host, port=port, payload=MOST_PAYLOAD)
            arguments = [sys.executable, "-c", _IOTCORE, str(file)]
        file.write_text(text)
        with _running(arguments, Path(folder)) as process:
            yield "mosquitto" if command else "iotcore", process


def reload(folder: Path) -> bool:
    """Let the broker that runs in a folder read its files again; returns whether there is one."""
    try:
        pid = int((folder / PID).read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        if name == "mosquitto":  # and not whatever got the number after it
            os.kill(pid, signal.SIGHUP)
        return name == "mosquitto"
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

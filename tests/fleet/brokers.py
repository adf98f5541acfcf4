"""Real brokers to test with: the system's mosquitto, and iotcore, each on a free port of this machine."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from patience import wait_until
from sharing import free_port, listens

BROKERS = ("mosquitto", "iotcore")
IOTCORE = "import sys, iotcore; iotcore.Broker(config_path=sys.argv[1]).run_forever()"
RUMQTTD = """id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 8388608
max_inflight_count = 100
dynamic_filters = true
"""


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    def is_up() -> bool:
        assert process.poll() is None, "the broker ended at once"
        return listens(port)

    wait_until(is_up)


@contextlib.contextmanager
def running(kind: str, folder: Path, port: int | None = None, settings: str = "") -> Iterator[str]:
    """A broker for as long as the context lasts; gives its URL."""
    port = port or free_port()
    if kind == "mosquitto":
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if not program:
            pytest.skip("mosquitto is not installed")
        config = folder / f"mosquitto-{port}.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n{settings}\n")
        command = [program, "-c", str(config)]
    else:
        if not find_spec("iotcore"):
            pytest.skip("iotcore is not installed")
        config = folder / f"iotcore-{port}.toml"
        config.write_text(RUMQTTD.format(port=port))
        command = [sys.executable, "-c", IOTCORE, str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()

"""A real InfluxDB gets what Telegraf would write, and answers every query of ports/linux/grafana.json.

python tests/bench/fleet_influx.py INFLUXD: the program, of version 1 (Debian: package influxdb). Telegraf itself is in none of
the registries that tests use, so its part is done by its documented rules (tests/fleet/consumers.py).
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "fleet")]
SETTINGS = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
"""


def samples(folder: Path) -> list[str]:
    """Ten minutes of a camera, as lines for InfluxDB."""
    import numpy as np
    from consumers import Telegraf
    from sender_test import Wire, make

    from tody.fleet.telemetry.telemetry import Telemetry
    from tody.run.detections import Detections

    wire, now = Wire(), [time.time() - 700]
    telemetry = Telemetry(folder, "door", learn=60, now=lambda: now[0], tick=lambda: now[0])
    telemetry.use("a" * 64, 3)
    for i in range(6000):
        count = i // 100 % 3
        boxes = [[100 * k, 0, 100 * k + 40, 80] for k in range(count)]
        found = Detections(boxes, [0.9] * count, range(count), size=(640, 480), classes=("person", "Traffic light"))
        telemetry.frame(np.full((48, 64, 3), 90, np.uint8), found, 0.02)
        now[0] += 0.1
        telemetry.step()
    make(folder, wire, now=lambda: now[0]).step()
    points = [Telegraf().point(topic, json.dumps(body).encode()) for topic, body, _ in wire.sent]
    return [point.line() for point in points if point]


def ask(url: str, path: str, data: bytes | None = None, **query: str) -> Any:
    with urllib.request.urlopen(f"{url}/{path}?{urllib.parse.urlencode(query)}", data, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def main(program: str) -> None:
    from brokers import free_port

    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "influx.conf").write_text(SETTINGS.format(folder=folder, port=port, rpc=free_port()))
        command = [program, "-config", str(folder / "influx.conf")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(200):
                with suppress(OSError):
                    ask(url, "query", b"", q="CREATE DATABASE tody")
                    break
                time.sleep(0.1)
            lines = samples(folder)
            ask(url, "write", "\n".join(lines).encode(), db="tody")
            print(f"{len(lines)} points written")
            check(url)
        finally:
            process.kill()
            process.wait()


def check(url: str) -> None:
    """Every query as Grafana sends it: its variables replaced."""
    dashboard = json.loads((HERE.parents[1] / "ports/linux/grafana.json").read_text())
    words = {"$fleet": "home", "$device": "pi1", "$timeFilter": "time >= now() - 1h", "$__interval": "30s"}
    queries = [(panel["title"], target["query"]) for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [(v["label"], v["query"]) for v in dashboard["templating"]["list"] if v["type"] == "query"]
    for title, query in queries:
        for word, value in words.items():
            query = query.replace(word, value)
        (result,) = ask(url, "query", db="tody", q=query)["results"]
        series = result.get("series", [])
        rows, columns = sum(len(s["values"]) for s in series), series[0]["columns"] if series else []
        print(f"{title}: {len(series)} series, {rows} rows of {', '.join(columns)}")
        assert series or title == "Temperature", "a machine may have no thermometer"


if __name__ == "__main__":
    main(sys.argv[1])

"""The demo, third part: two devices on this machine get the model over the air, and refuse a bad one by themselves.

Every command that is run is shown as one would type it. The devices are agents like any other; what stands for their cameras
is the clip of the first part. All files are in demo/fleet.
"""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from shell import Shell, free_port

from tody import format
from tody.fleet.broker.running import program
from tody.fleet.rollout import position

FOLDER = Path("demo/fleet")
DEVICES = ("door", "garden")
GROUP = "cameras"
CANARY = 0.5  # of the devices try a model first


def blind(model: Path) -> Path:
    """The same model with a threshold that nothing reaches: all its own tests pass, and it sees nothing.

    Where a device stands in a rollout follows from the model's hash. This one is made such that not both come first.
    """
    file, path = format.read(model.read_bytes()), FOLDER / "blind.tody"
    for hundredths in range(9900, 10000):
        file.meta["score"] = hundredths / 10000
        path.write_bytes(format.write(file))
        release = hashlib.sha256(path.read_bytes()).hexdigest()
        if max(position(release, device) for device in DEVICES) >= CANARY:
            return path
    raise AssertionError("a hundred hashes in a row were the wrong way round")


def updates(fleet: Shell, model: Path) -> None:
    """The good model, the bad one, and what became of both."""
    canary = ("--canary", f"{CANARY:.0%}", "--window", "3s", "--health", "fps>5", "--health", "seen>0.5", "--wait", "--yes")
    print("\n--- a model for both: first to one half, and when that is well, to the other")
    fleet.must("push", str(model), GROUP, *canary)
    print("\n--- a bad model: its threshold is wrong, so it sees nothing. Nobody stops it but the devices")
    if fleet.run("push", str(blind(model)), GROUP, *canary) == 0:
        raise SystemExit("the bad model was taken")
    print("\n--- the device that tried it went back by itself; the other never asked for it")
    fleet.must("fleet", "status")
    print("\n--- their telemetry")
    for device in fleet.facts("fleet", "status")["devices"]:
        print(f"{device['name']}: {json.dumps(device['metrics'])}")


def dashboard(fleet: Shell) -> None:
    """Say where it is; keep it there while somebody looks."""
    if not sys.stdin.isatty():
        print("\nIn a terminal, the demo waits here, and its dashboard can be looked at: tody fleet dashboard")
        return
    port = free_port()
    with contextlib.ExitStack() as running:
        log = running.enter_context((FOLDER / "dashboard.log").open("w"))
        running.enter_context(fleet.beside("fleet", "dashboard", "--port", str(port), log=log))
        running.enter_context(contextlib.suppress(KeyboardInterrupt, EOFError))
        input(f"\nThe dashboard is at http://127.0.0.1:{port} while the devices run. Enter ends the demo. ")


def main(model: Path, clip: Path) -> None:
    """Run the second part with a converted detector and a clip."""
    if not program() and not find_spec("iotcore"):
        print("\n\nThe third part, updates over the air, needs a broker: sudo apt install mosquitto")
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    start = time.monotonic()
    port, laptop = str(free_port()), {"XDG_CONFIG_HOME": str(FOLDER.resolve() / "laptop")}
    fleet = Shell({**laptop, "TODY_PASSPHRASE": "only for this demo"}, str(FOLDER))
    print("\n\nThe same model, over the air: a broker, a laptop and two devices, all on this machine.")
    with contextlib.ExitStack() as running:
        log = running.enter_context((FOLDER / "broker.log").open("w"))
        running.enter_context(fleet.beside("broker", "run", "--demo", "--port", port, log=log))
        fleet.must("keys", "init", "demo", "--group", GROUP, "--broker", f"mqtt://localhost:{port}")
        for device in DEVICES:
            store = FOLDER / device
            fleet.must("enroll", device, "--store", str(store))
            log = running.enter_context((FOLDER / f"{device}.log").open("w"))
            running.enter_context(
                fleet.beside("agent", "--store", str(store), "--source", str(clip), "--threads", "1", "--poll", "2", log=log)
            )
        updates(fleet, model)
        dashboard(fleet)
    print(f"\nThat took {time.monotonic() - start:.0f} seconds. What the devices said is in {FOLDER}/*.log.")
    print("docs/update.md says how to do the same with a Pi, and a broker that only your devices may use.")

"""ssh://user@host: a model onto a Linux board by the system's ssh client. Nothing of tody need run there."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import AccuracyError, DeviceError, TrustError, UsageError
from ..run.model import load

SERVICE = "tody"  # the systemd unit of a detector, unless the address names another
_DAMAGED, _FAILED, _NOT_RESTARTED, _NO_CONNECTION = 97, 98, 99, 255

# Runs on the board. The file is written aside, flushed and compared; tested where tody is installed; only then it takes the
# place of the one before, so that a detector that starts meanwhile opens one of the two, whole.
_SCRIPT = """
set -e
umask 022
mkdir -p "$(dirname "$path")"
trap 'rm -f "$path.new"' EXIT
cat > "$path.new"
[ "$(sha256sum < "$path.new" | cut -c 1-64)" = "$sha" ] || exit 97
sync "$path.new" 2>/dev/null || sync
if command -v tody >/dev/null; then tody check "$path.new" >&2 || exit 98; fi
mv "$path.new" "$path"
[ "$activate" = 1 ] && command -v systemctl >/dev/null || exit 0
if systemctl --user is-active -q "$service" 2>/dev/null; then
    systemctl --user restart "$service" >&2 || exit 99
elif systemctl is-active -q "$service" 2>/dev/null; then
    sudo -n systemctl restart "$service" >&2 || exit 99
else
    exit 0
fi
echo restarted
"""


@dataclass(frozen=True)
class Placed:
    """Where a model was put, and the service that was restarted for it ("": none runs there)."""

    host: str
    path: str
    sha256: str
    restarted: str


@dataclass(frozen=True)
class Target:
    """A parsed ssh:// address. `path` is "" where the address names none."""

    host: str
    port: int
    path: str
    service: str


def parse(address: str) -> Target:
    """ssh://[user@]host[:port][/path][?service=NAME]; /~/path is below the home folder.

    Raises:
        UsageError: it is none.
    """
    form = r"ssh://((?:[\w.-]+@)?(?:[\w.-]+|\[[0-9a-fA-F:]+\]))(?::(\d{1,5}))?(/[^?]*)?(?:\?service=([\w@.-]+))?"
    match = re.fullmatch(form, address)
    if not match or match[1].startswith("-"):
        example = "ssh://pi@garden/~/models/person.tody?service=tody"
        raise UsageError(f"{address!r} is not an address of ssh", "it must name a host", f"for example {example}")
    path = (match[3] or "").rstrip("/")
    return Target(match[1], int(match[2] or 22), path.removeprefix("/~/"), match[4] or SERVICE)


def put(model: str, address: str, activate: bool = True) -> Placed:
    """Put a model on a board and restart the detector that runs there.

    Args:
        model: a `.tody` file; it is opened here first.
        address: see `parse`. Without a path: models/NAME.tody below the home folder.
        activate: restart the detector.

    Raises:
        DeviceError: there is no ssh client, the host cannot be reached, or refuses.
        TrustError: other bytes arrived there. AccuracyError: the board's own `tody check` failed. The file before stays.
    """
    target = parse(address)
    load(model, threads=1, verify=True)
    data = Path(model).read_bytes()
    path, sha = target.path or f"models/{Path(model).name}", hashlib.sha256(data).hexdigest()
    values = {"path": path, "sha": sha, "service": target.service, "activate": str(int(activate))}
    script = "".join(f"{k}={shlex.quote(v)}\n" for k, v in values.items()) + _SCRIPT
    done = _ssh(target, script, data)
    _check(done, target, path)
    return Placed(target.host, path, sha, target.service if b"restarted" in done.stdout else "")


def _ssh(target: Target, script: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh", "-p", str(target.port), "-o", "ConnectTimeout=10", "--", target.host, f"sh -c {shlex.quote(script)}"]
    try:
        return subprocess.run(command, input=data, capture_output=True)
    except FileNotFoundError as e:
        raise DeviceError("there is no ssh client", "the program ssh was not found", "apt-get install openssh-client") from e


def _check(done: subprocess.CompletedProcess[bytes], target: Target, path: str) -> None:
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    why = said[-1] if said else f"exit code {done.returncode}"
    if done.returncode == _NO_CONNECTION:
        raise DeviceError(f"{target.host} cannot be reached by ssh", why, f"ssh -p {target.port} {target.host}")
    if done.returncode == _DAMAGED:
        raise TrustError("other bytes arrived than were sent", f"SHA-256 of {path}.new differs", "flash once more")
    if done.returncode == _FAILED:
        raise AccuracyError(f"the model fails its test on {target.host}", why, "the model before is still in place")
    if done.returncode == _NOT_RESTARTED:
        hint = f"on {target.host}: sudo systemctl restart {target.service}"
        raise DeviceError(f"the model is in place, but {target.service} was not restarted", why, hint)
    if done.returncode:
        raise DeviceError(
            f"{path} on {target.host} cannot be written", why, "check the path, its permissions and the free space"
        )

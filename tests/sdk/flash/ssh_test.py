"""A model onto a board by ssh, with a real ssh server of this machine."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import getpass
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from patience import wait_until
from sharing import free_port, listens
from tody.errors import AccuracyError, DeviceError, TrustError, UsageError
from tody.flash import ssh


def key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of an ssh server that lets us in, and a folder whose program `ssh` knows the key."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if not sshd or not shutil.which("ssh-keygen"):
        pytest.skip("openssh-server is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o700)
    mine, theirs = key(folder / "mine"), key(folder / "host")
    (folder / "allowed").write_text(mine.with_suffix(".pub").read_text())
    port = free_port()
    config = folder / "config"
    lines = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {theirs}", f"AuthorizedKeysFile {folder}/allowed"]
    config.write_text(
        "\n".join([*lines, f"PidFile {folder}/pid", "StrictModes no", "UsePAM no", "PasswordAuthentication no\n"])
    )
    Path("/run/sshd").mkdir(exist_ok=True) if getpass.getuser() == "root" else None
    process = subprocess.Popen([sshd, "-D", "-e", "-f", config], stderr=subprocess.PIPE, text=True)
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    options = f"-F /dev/null -i {mine} -o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known -o BatchMode=yes"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    program.chmod(0o755)
    try:
        _wait(port, process)
        yield port, program.parent
    finally:
        process.kill()
        process.wait()


def _wait(port: int, process: subprocess.Popen[str]) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            pytest.skip(f"sshd does not start: {process.stderr.read() if process.stderr else ''}")
        return listens(port)

    wait_until(answers)


@pytest.fixture
def address(server: tuple[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    port, programs = server
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/board/models/kws.tody"


def there(address: str) -> Path:
    return Path("/" + address.split("/", 3)[3])


def test_put(address: str, kws: Path) -> None:
    for _ in range(2):
        placed = ssh.put(str(kws), address)
        assert there(address).read_bytes() == kws.read_bytes() and placed.restarted == ""
    assert [p.name for p in there(address).parent.iterdir()] == ["kws.tody"]


def test_a_service_is_restarted(address: str, kws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "systemctl.log"
    script = f'systemctl() {{ echo "$@" >> {log}; }}\ntody() {{ [ "$1" = check ]; }}\n'
    monkeypatch.setattr(ssh, "_SCRIPT", script + ssh._SCRIPT)
    assert ssh.put(str(kws), f"{address}?service=watcher").restarted == "watcher"
    assert log.read_text().splitlines() == ["--user is-active -q watcher", "--user restart watcher"]
    log.unlink()
    assert ssh.put(str(kws), address, activate=False).restarted == "" and not log.exists()


def test_what_fails_there_leaves_the_file_before(address: str, kws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = there(address)
    target.parent.mkdir(parents=True)
    target.write_text("before")
    sound = ssh._SCRIPT
    monkeypatch.setattr(ssh, "_SCRIPT", "tody() { echo it is wrong >&2; return 3; }\n" + sound)
    with pytest.raises(AccuracyError, match="it is wrong"):
        ssh.put(str(kws), address)
    monkeypatch.setattr(ssh, "_SCRIPT", "sha256sum() { echo 0; }\n" + sound)
    with pytest.raises(TrustError):
        ssh.put(str(kws), address)
    assert target.read_text() == "before" and len(list(target.parent.iterdir())) == 1


def test_a_folder_that_cannot_be_made(address: str, kws: Path, tmp_path: Path) -> None:
    (tmp_path / "board").write_text("a file")
    with pytest.raises(DeviceError, match="cannot be written"):
        ssh.put(str(kws), address)


def test_nobody_there(server: tuple[int, Path], kws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(server[1]), prepend=":")
    with pytest.raises(DeviceError, match="cannot be reached"):
        ssh.put(str(kws), "ssh://127.0.0.1:1")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match="no ssh client"):
        ssh.put(str(kws), "ssh://127.0.0.1:1")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("ssh://pi@garden", ("pi@garden", 22, "", "tody")),
        ("ssh://garden:2222/~/m/a b.tody", ("garden", 2222, "m/a b.tody", "tody")),
        ("ssh://pi@10.0.0.2/srv/m.tody?service=door@1", ("pi@10.0.0.2", 22, "/srv/m.tody", "door@1")),
    ],
)
def test_addresses(text: str, want: tuple[str, int, str, str]) -> None:
    assert tuple(vars(ssh.parse(text)).values()) == want


@pytest.mark.parametrize("text", ["ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://host?service=a;b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        ssh.parse(text)

